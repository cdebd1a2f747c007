// rattn eval on a checkpoint from disk.
#include "harness/verb_eval_checkpoint.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <optional>

#include "harness/answer_journal.h"
#include "harness/eval_output.h"
#include "harness/eval_progress.h"
#include "harness/interrupt.h"
#include "harness/verbs.h"
#include "models/error.h"

namespace rattn {
namespace {

constexpr size_t kTokensShown = 8;

std::string PieceList(const Tokenizer& tokenizer,
                      std::span<const int32_t> tokens) {
  std::string text;
  for (const int32_t id : tokens) {
    text += fmt::format(" {}:{}", id, Json(tokenizer.Piece(id)).dump());
  }
  return text;
}

void PrintPrompt(const Tokenizer& tokenizer, const std::string& task,
                 const std::vector<int32_t>& tokens) {
  const size_t shown = std::min(kTokensShown, tokens.size());
  const std::span<const int32_t> all(tokens);
  fmt::print(
      stderr,
      "{}: first prompt, {} tokens\n{}\nfirst tokens:{}\nlast tokens:{}\n",
      task, tokens.size(), tokenizer.Decode(tokens, false),
      PieceList(tokenizer, all.first(shown)),
      PieceList(tokenizer, all.last(shown)));
}

std::unique_ptr<AnswerJournal> OpenJournal(const EvalFlags& flags,
                                           const Json& identity) {
  if (flags.journal == "none") return nullptr;
  return std::make_unique<AnswerJournal>(
      flags.journal.empty() ? JournalPath(identity) : flags.journal);
}

class CheckpointRun {
 public:
  explicit CheckpointRun(const CheckpointEvalArguments& arguments)
      : arguments_(arguments),
        spec_(CheckpointSpecOf(arguments.flags, arguments.fields)) {}

  int Run() {
    auto options = CheckpointEvalOptionsOf(arguments_.flags, arguments_.fields,
                                           arguments_.lengths);
    options.text.log_samples |= arguments_.log_samples;
    if (options.text.log_samples && arguments_.flags.output.empty()) {
      throw UserError(
          "--log-samples and --predict-only need --output-path DIR");
    }
    Say(fmt::format("{}: {}", spec_.folder, fmt::join(options.tasks, ", ")));
    tokenizer_ = LoadTokenizer(spec_.folder);
    facts_.identity = CheckpointIdentity(spec_, tokenizer_->fingerprint());
    journal_ = OpenJournal(arguments_.flags, facts_.identity);
    UseChat(&options.text.format);
    options.text.answers = journal_.get();
    options.text.model_key = ModelKey(facts_.identity);
    CheckpointEval eval(options, *tokenizer_);
    const auto start = std::chrono::steady_clock::now();
    const auto model = GetModelRuntime().LoadScoring(
        spec_.folder, spec_.overrides, spec_.execution);
    const CheckpointEvalResult result = eval.Run(*model, Events());
    progress_.Clear();
    if (journal_) journal_->Flush();
    if (result.stopped) Stop();
    facts_.max_length = model->max_length();
    facts_.work = model->work();
    facts_.seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start)
            .count();
    Print(result);
    return kExitDone;
  }

 private:
  void UseChat(PromptFormat* format) {
    if (arguments_.flags.chat) {
      chat_ = ChatTemplate::Load(spec_.folder);
      *format = ChatFormat(*chat_, format->system, arguments_.flags.multiturn);
      if (!format->has_system_role) {
        Say("the chat template takes no system message: as lm-eval does, what "
            "would be one is left out");
      }
    }
    facts_.format = *format;
  }

  // Standard output is the results' alone where they are JSON.
  void Say(const std::string& line) const {
    if (arguments_.json) return;
    fmt::print("{}\n", line);
    std::fflush(stdout);
  }

  CheckpointEvalEvents Events() {
    CheckpointEvalEvents events;
    events.progress = [this](const std::string& task, size_t place,
                             size_t count, int64_t done, int64_t total) {
      progress_.Show(task, place, count, done, total);
      return !Interrupted();
    };
    if (arguments_.flags.write_out) {
      events.first_prompt = [this](const std::string& task,
                                   const std::vector<int32_t>& tokens) {
        PrintPrompt(*tokenizer_, task, tokens);
      };
    }
    return events;
  }

  [[noreturn]] void Stop() const {
    throw RunError(journal_
                       ? fmt::format("stopped; {} answers are in {}: the same "
                                     "command goes on from there",
                                     journal_->size(), journal_->path())
                       : "stopped");
  }

  void Print(const CheckpointEvalResult& result) {
    facts_.checkpoint = spec_;
    facts_.tokenizer = tokenizer_.get();
    facts_.flags = LmEvalConfigOf(arguments_.flags, arguments_.fields);
    facts_.date = EvalTime();
    facts_.journal = journal_ ? journal_->path() : "";
    const Json json = EvalResultsJson(result, facts_);
    std::string written;
    if (!arguments_.flags.output.empty()) {
      written = WriteEvalFiles(arguments_.flags.output, json, result, facts_);
    }
    if (arguments_.json) {
      fmt::print("{}\n", json.dump(2));
      return;
    }
    if (arguments_.flags.show_config) {
      fmt::print("{}\n", json["configs"].dump(2));
    }
    fmt::print("{}", EvalTables(json, result));
    fmt::print(
        "{}: {:.1f} s, {} requests, {} of them answered before; {} tokens "
        "computed of {} asked\n",
        spec_.folder, facts_.seconds, Sum(result).first, Sum(result).second,
        facts_.work.computed, facts_.work.asked);
    if (!written.empty()) fmt::print("{}\n", written);
  }

  static std::pair<int64_t, int64_t> Sum(const CheckpointEvalResult& result) {
    std::pair<int64_t, int64_t> sum;
    for (const TextEvalResult& one : result.results) {
      sum.first += one.requests;
      sum.second += one.answered_before;
    }
    return sum;
  }

  const CheckpointEvalArguments& arguments_;
  CheckpointSpec spec_;
  std::unique_ptr<Tokenizer> tokenizer_;
  std::unique_ptr<AnswerJournal> journal_;
  std::optional<ChatTemplate> chat_;
  EvalProgress progress_;
  EvalRunFacts facts_;
};

}  // namespace

int RunCheckpointEval(const CheckpointEvalArguments& arguments) {
  if (arguments.flags.tasks.empty()) {
    throw UserError(
        "--tasks is missing: --tasks mmlu,hellaswag (rattn list text-tasks)");
  }
  return CheckpointRun(arguments).Run();
}

}  // namespace rattn
