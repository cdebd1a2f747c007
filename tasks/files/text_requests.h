// Prompts and requests of a task's documents, as lm-eval builds them.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "tasks/chat/chat_template.h"
#include "tasks/files/text_task.h"
#include "tasks/python_random.h"

namespace rattn {

enum class ShotOrder {
  kLmEval,       // one stream that advances document by document
  kPerDocument,  // a stream per document, seeded by its number: the shots do
                 // not depend on what else is evaluated
};

struct ShotOptions {
  int64_t shots = 0;
  uint64_t seed = 1234;
  ShotOrder order = ShotOrder::kLmEval;
};

// Draws the shots of one document after the other.
class ShotDrawer {
 public:
  // Throws UserError if the task has fewer shots. `task` must outlive it.
  ShotDrawer(const TextTask& task, const ShotOptions& options);
  std::vector<const TextDocument*> Draw(int64_t index);

 private:
  std::vector<const TextDocument*> DrawRandom(const TextDocument& document,
                                              PythonRandom* random) const;
  const TextTask& task_;
  ShotOptions options_;
  PythonRandom stream_;
};

struct TextRequest {
  // Shared by the choices of a document.
  std::shared_ptr<const std::string> context;
  // Log-likelihood of this after the context; not used by generations.
  std::string continuation = {};
  bool generate = false;
  std::vector<std::string> stops = {};
  int64_t max_new_tokens = 0;
};

// SHA-256 of everything that the answer depends on; `model_key` stands for the
// model, its tokenizer and its settings.
std::string RequestKey(const TextRequest& request, std::string_view model_key);

// lm-eval's "until" and "max_gen_toks" (256 unless given) of `generation`.
// Throws UserError for other types and for sampling: generation is greedy.
std::vector<std::string> StopStrings(const Json& generation);
int64_t MostNewTokens(const Json& generation);

// How the parts of a prompt are laid out.
struct PromptFormat {
  PromptFormat() = default;  // no aggregate: GCC 12 warns of those in {}
  std::string system;        // lm-eval's system_instruction
  const ChatTemplate* chat = nullptr;  // none: plain text
  bool multiturn = false;              // shots as turns of the conversation
  bool has_system_role = true;         // the template takes system messages
};
// For a template; whether it takes system messages is tried.
PromptFormat ChatFormat(const ChatTemplate& chat, std::string system,
                        bool multiturn);

// Without a conversation: system instruction, description and shots, everything
// before the document's own text.
std::string PromptHead(const TextTask& task,
                       const std::vector<const TextDocument*>& shots,
                       const std::string& system = "");

// One request a choice; one in all for the other kinds of output. While the
// prompt has more than task.most_prompt_tokens by `count_tokens`, shots are
// dropped from the end; count_tokens is not called where there is no limit.
//
// In a conversation, as lm-eval: system instruction and description are the
// system message (left out where the template takes none), shots and document
// one message or turns, and no delimiter stands before a choice.
std::vector<TextRequest> MakeRequests(
    const TextTask& task, const TextDocument& document,
    std::vector<const TextDocument*> shots, const Json& generation,
    const std::function<int64_t(const std::string&)>& count_tokens,
    const PromptFormat& format = {});

}  // namespace rattn
