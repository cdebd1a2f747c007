#include "harness/checkpoint_eval.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "harness/checkpoint_files.h"
#include "kernels/nearest_name.h"
#include "models/error.h"

namespace rattn {

CheckpointEval::CheckpointEval(CheckpointEvalOptions options,
                               const Tokenizer& tokenizer)
    : options_(std::move(options)),
      tokenizer_(tokenizer),
      tasks_(LoadEvalTasks(options_.tasks, options_.data)) {
  if (tasks_.perplexity && options_.text_file.empty()) {
    throw UserError("perplexity: name the text file with --text FILE");
  }
  for (const auto& [name, numbers] : options_.samples) {
    std::vector<std::string> names;
    for (const TextTask& task : tasks_.suite.tasks) names.push_back(task.name);
    if (std::find(names.begin(), names.end(), name) == names.end()) {
      throw UserError(fmt::format("--samples: '{}' is not evaluated{}", name,
                                  NearestHint(name, names)));
    }
  }
  CheckFormat();
  // Before hours go into the tasks ahead of one that cannot run.
  for (const TextTask& task : tasks_.suite.tasks) {
    CheckTextTask(task, OptionsOf(task.name));
  }
  if (!tasks_.ruler.empty()) CheckRulerData();
}

void CheckpointEval::CheckFormat() const {
  const PromptFormat& format = options_.text.format;
  if (format.chat == nullptr && format.system.empty()) return;
  if (tasks_.ruler.empty() && !tasks_.perplexity) return;
  throw UserError(
      "--apply-chat-template and --system-instruction change the prompts of "
      "tasks with questions: RULER has --ruler-wrapper, perplexity no prompt");
}

void CheckpointEval::CheckRulerData() {
  RulerSourcePaths paths = options_.ruler_paths;
  if (paths.data.empty()) paths.data = FindDataFolder(options_.data);
  sources_ = std::make_unique<RulerSources>(paths);
  for (const RulerTextTask* task : tasks_.ruler) {
    RulerIdentity(options_.ruler.mode, *task, options_.ruler.request,
                  sources_.get(), tokenizer_);
    CheckRulerLengths(*task);
  }
}

// A length is mostly too short for all samples of a task: the first one tells
// before hours went into the tasks ahead of it.
void CheckpointEval::CheckRulerLengths(const RulerTextTask& task) {
  RulerRequest request = options_.ruler.request;
  request.samples = 1;
  for (const int64_t length : options_.ruler.lengths) {
    request.length = length;
    MakeRulerSamples(options_.ruler.mode, task, request, sources_.get(),
                     tokenizer_);
  }
}

size_t CheckpointEval::Count() const {
  return tasks_.suite.tasks.size() + tasks_.ruler.size() +
         (tasks_.perplexity ? 1 : 0);
}

TextEvalOptions CheckpointEval::OptionsOf(const std::string& task) const {
  TextEvalOptions options = options_.text;
  if (const auto at = options_.samples.find(task);
      at != options_.samples.end()) {
    options.samples = at->second;
  }
  return options;
}

TextEvalResult CheckpointEval::RunPerplexityTask(
    const ScoringModel& model, const TextEvalOptions& text) const {
  PerplexityOptions options = options_.perplexity;
  options.log_samples = text.log_samples;
  options.answers = text.answers;
  options.model_key = text.model_key;
  options.progress = text.progress;
  return RunPerplexity(options_.text_file, tokenizer_, model, options);
}

// One document, stopped before the model is asked.
void CheckpointEval::Preview(
    const CheckpointEvalEvents& events, const std::string& name,
    const std::function<TextEvalResult(const TextEvalOptions&)>& run) const {
  if (!events.first_prompt) return;
  TextEvalOptions one = OptionsOf(name);
  if (one.samples.empty()) one.limit = 1;
  one.answers = nullptr;
  one.progress = [](int64_t, int64_t) { return false; };
  events.first_prompt(name, run(one).first_prompt);
}

CheckpointEvalResult CheckpointEval::Run(const ScoringModel& model,
                                         const CheckpointEvalEvents& events) {
  CheckpointEvalResult all;
  all.groups = tasks_.suite.groups;
  all.ruler_mode = options_.ruler.mode;
  size_t place = 0;
  const auto run =
      [&](const std::string& name,
          const std::function<TextEvalResult(const TextEvalOptions&)>& one) {
        if (all.stopped) return;
        ++place;
        Preview(events, name, one);
        TextEvalOptions options = OptionsOf(name);
        if (events.progress) {
          options.progress = [&](int64_t done, int64_t total) {
            return events.progress(name, place, Count(), done, total);
          };
        }
        all.results.push_back(one(options));
        all.stopped = all.results.back().stopped;
        if (options_.predict_only) all.results.back().metrics.clear();
      };
  for (const TextTask& task : tasks_.suite.tasks) {
    run(task.name, [&](const TextEvalOptions& options) {
      return RunTextTask(task, tokenizer_, model, options);
    });
  }
  for (const RulerTextTask* task : tasks_.ruler) {
    run(std::string(task->name), [&](const TextEvalOptions& options) {
      return RunRulerTask(*task, options_.ruler, sources_.get(), tokenizer_,
                          model, options, &all.ruler);
    });
  }
  if (tasks_.perplexity) {
    run("perplexity", [&](const TextEvalOptions& options) {
      return RunPerplexityTask(model, options);
    });
  }
  // The tables of RULER are in percent, whatever the port says.
  if (all.ruler_mode == RulerMode::kLmEval) {
    for (RulerScoreRow& row : all.ruler) row.score.score *= 100;
  }
  return all;
}

}  // namespace rattn
