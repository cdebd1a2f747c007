// Tasks on real text with the semantics of lm-evaluation-harness ("lm-eval",
// version 0.4.13): documents, prompts, requests and metrics. A task is data;
// tasks/files/text_task_list.h makes them from a folder of data files.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "models/json_fields.h"

namespace rattn {

struct TextDocument {
  Json row;          // as lm-eval's data set has it: logged, hashed, compared
  std::string text;  // the prompt without shots and answer
  // In place of `text`, one a choice: the answers differ in the prompt and one
  // continuation is scored after each (WinoGrande's partial scoring).
  std::vector<std::string> inputs;
  std::vector<std::string> choices;  // without the target delimiter
  std::vector<size_t> gold;          // places in `choices`
  std::string target;                // what a shot shows as the answer
  std::string target_text;  // str() of lm-eval's target: logged, hashed
  std::vector<std::string> references;  // accepted generations
};

enum class OutputKind {
  kMultipleChoice,  // the choice with the largest log-likelihood
  kLogLikelihood,   // of `target`
  kGenerate,        // greedy text until a stop string
};

enum class ShotSampler {
  kRandom,  // random.Random(seed).sample, document by document
  kFirst,   // the first n in order
};

// What is taken of a generated text, by the name it has in the results.
struct AnswerFilter {
  std::string name;
  std::string (*apply)(std::string_view text);
};

// Both sides of an exact match are passed through it, `texts` in one list.
using TextNormalizer =
    std::vector<std::string> (*)(std::vector<std::string> texts);

struct TextTask {
  std::string name;
  std::string alias;  // in tables
  Json version;       // a number, as lm-eval prints it
  OutputKind output = OutputKind::kMultipleChoice;
  std::vector<std::string> metrics;  // acc, acc_norm, acc_bytes, exact_match,
                                     // perplexity
  std::string description;           // before the shots
  std::string target_delimiter = " ";
  std::string fewshot_delimiter = "\n\n";

  int64_t default_shots = 0;
  int64_t most_shots = -1;  // -1 = as many as there are
  ShotSampler sampler = ShotSampler::kRandom;
  // One more is drawn than shown, and the document itself left out. lm-eval
  // does so where neither a test split nor a split of shots is configured.
  bool leave_one_out = false;
  std::string shot_source;  // the file that the shots come from
  std::vector<TextDocument> shots;

  std::vector<TextDocument> documents;

  // Shots are dropped from the end of the list while the prompt has more
  // tokens; 0 = never. (hendrycks/test counts GPT-2's tokens, we the model's.)
  int64_t most_prompt_tokens = 0;

  // Generation.
  Json generation;  // lm-eval's generation_kwargs: "until", ...
  std::vector<AnswerFilter> filters;
  TextNormalizer normalize = nullptr;

  std::map<std::string, std::string> file_hashes;  // SHA-256 by file name
};

// Results of these tasks, aggregated. Members are names of tasks or groups.
struct TextGroup {
  std::string name;
  std::string alias;
  Json version;
  std::vector<std::string> members;
  std::string note;  // what a reader must know, such as where anatomy counts
};

struct TextSuite {
  std::vector<TextTask> tasks;
  std::vector<TextGroup> groups;
};

}  // namespace rattn
