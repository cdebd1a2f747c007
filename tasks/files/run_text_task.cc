#include "tasks/files/run_text_task.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "models/error.h"
#include "models/sha256.h"
#include "tasks/files/answer_text.h"
#include "tasks/files/lm_eval_samples.h"
#include "tasks/files/text_answers.h"

namespace rattn {
namespace {

ShotOptions ShotsOf(const TextTask& task, const TextEvalOptions& options) {
  return {options.shots.value_or(task.default_shots), options.shot_seed,
          options.shot_order};
}

Json GenerationOf(const TextTask& task, const TextEvalOptions& options) {
  if (task.output != OutputKind::kGenerate) return nullptr;
  Json merged = task.generation;
  merged.update(options.generation);
  return merged;
}

class TaskRun {
 public:
  TaskRun(const TextTask& task, const Tokenizer& tokenizer,
          const ScoringModel& model, const TextEvalOptions& options)
      : task_(task),
        tokenizer_(tokenizer),
        model_(model),
        options_(options),
        encoder_(tokenizer, model.max_length()),
        generation_(GenerationOf(task, options)) {}

  TextEvalResult Run() {
    documents_ = SelectDocuments(task_, options_);
    MakeAllRequests();
    Describe();
    AnsweredRequests answered =
        AnswerRequests(requests_, tokenizer_, model_, options_, &encoder_,
                       [this](size_t request) { return PlaceOf(request); });
    result_.stopped = answered.stopped;
    result_.answered_before = answered.answered_before;
    result_.merged_pairs = encoder_.merged();
    result_.truncated_prompts = encoder_.truncated();
    if (!result_.stopped) ScoreAll(answered.answers);
    return std::move(result_);
  }

 private:
  void MakeAllRequests() {
    const ShotOptions shots = ShotsOf(task_, options_);
    result_.shots = shots.shots;
    ShotDrawer drawer(task_, shots);
    const auto count_tokens = [this](const std::string& text) {
      return static_cast<int64_t>(tokenizer_.Encode(text, false).size());
    };
    for (const int64_t number : documents_) {
      starts_.push_back(requests_.size());
      auto added = MakeRequests(task_, Document(number), drawer.Draw(number),
                                generation_, count_tokens, options_.format);
      std::move(added.begin(), added.end(), std::back_inserter(requests_));
    }
    starts_.push_back(requests_.size());
    result_.first_prompt = encoder_.EncodeContext(*requests_.front().context);
  }

  const TextDocument& Document(int64_t number) const {
    return task_.documents[static_cast<size_t>(number)];
  }

  std::string PlaceOf(size_t request) const {
    const auto next = std::upper_bound(starts_.begin(), starts_.end(), request);
    return fmt::format("{}, document {}", task_.name,
                       documents_[next - starts_.begin() - 1]);
  }

  void Describe() {
    result_.name = task_.name;
    result_.alias = task_.alias;
    result_.version = task_.version;
    result_.documents = static_cast<int64_t>(task_.documents.size());
    result_.evaluated = static_cast<int64_t>(documents_.size());
    result_.requests = static_cast<int64_t>(requests_.size());
    constexpr const char* kKinds[] = {"multiple_choice", "loglikelihood",
                                      "generate_until"};
    const bool per_document = options_.shot_order == ShotOrder::kPerDocument;
    result_.config = {
        {"task", task_.name},
        {"output_type", kKinds[static_cast<int>(task_.output)]},
        {"description", task_.description},
        {"target_delimiter", task_.target_delimiter},
        {"fewshot_delimiter", task_.fewshot_delimiter},
        {"num_fewshot", result_.shots},
        {"fewshot_source", task_.shot_source},
        {"fewshot_sampler",
         task_.sampler == ShotSampler::kFirst ? "first_n" : "random"},
        {"fewshot_order", per_document ? "per-document" : "lm-eval"},
        {"fewshot_seed", options_.shot_seed},
        {"metric_list", task_.metrics},
        {"repeats", 1},
        {"files", task_.file_hashes},
        {"metadata", {{"version", task_.version}}}};
    if (!generation_.is_null()) {
      result_.config["generation_kwargs"] = generation_;
    }
  }

  void ScoreAll(const std::vector<TextAnswer>& answers) {
    static const std::vector<AnswerFilter> kNone = {{"none", KeepAnswer}};
    std::string hashes;
    for (const auto& filter : task_.filters.empty() ? kNone : task_.filters) {
      ScoreFiltered(answers, filter, &hashes);
    }
    result_.task_hash = Sha256Hex(hashes);
  }

  void ScoreFiltered(const std::vector<TextAnswer>& answers,
                     const AnswerFilter& filter, std::string* hashes) {
    std::vector<std::vector<double>> values(task_.metrics.size());
    for (size_t i = 0; i < documents_.size(); ++i) {
      const size_t first = starts_[i], count = starts_[i + 1] - first;
      const auto requests = std::span(requests_).subspan(first, count);
      const auto given = std::span(answers).subspan(first, count);
      const TextDocument& document = Document(documents_[i]);
      const std::string filtered = filter.apply(given[0].text);
      const auto metrics = ScoreDocument(task_, document, given, filtered);
      for (size_t m = 0; m < metrics.size(); ++m) {
        values[m].push_back(metrics[m].value);
      }
      const SampleHashes sample = HashSample(document, requests[0]);
      *hashes += sample.All();
      if (options_.log_samples) {
        result_.samples.push_back(
            SampleLine(task_, documents_[i], document, requests, generation_,
                       given, filter.name, filtered, metrics, sample));
      }
    }
    Aggregate(filter.name, values);
  }

  void Aggregate(const std::string& filter,
                 const std::vector<std::vector<double>>& values) {
    for (size_t m = 0; m < values.size(); ++m) {
      const bool perplexity = task_.metrics[m] == "perplexity";
      result_.metrics.push_back(
          {task_.metrics[m], filter,
           perplexity ? PerplexityEstimate(values[m], options_.bootstrap_draws)
                      : MeanEstimate(values[m]),
           !perplexity, ChanceOf(task_.metrics[m])});
    }
  }

  // Of picking one of the choices, whatever their number in each document.
  std::optional<double> ChanceOf(const std::string& metric) const {
    if (task_.output != OutputKind::kMultipleChoice ||
        !metric.starts_with("acc")) {
      return std::nullopt;
    }
    double sum = 0;
    for (const int64_t number : documents_) {
      const TextDocument& document = Document(number);
      sum += static_cast<double>(document.gold.size()) /
             static_cast<double>(document.choices.size());
    }
    return sum / static_cast<double>(documents_.size());
  }

  const TextTask& task_;
  const Tokenizer& tokenizer_;
  const ScoringModel& model_;
  const TextEvalOptions& options_;
  PairEncoder encoder_;
  Json generation_;
  std::vector<int64_t> documents_;
  std::vector<TextRequest> requests_;
  std::vector<size_t> starts_;  // of each document in requests_, and the end
  TextEvalResult result_;
};

}  // namespace

void CheckTextTask(const TextTask& task, const TextEvalOptions& options) {
  SelectDocuments(task, options);
  const ShotDrawer shots(task, ShotsOf(task, options));
  const Json generation = GenerationOf(task, options);
  if (generation.is_null()) return;
  StopStrings(generation);
  MostNewTokens(generation);
}

std::vector<int64_t> SelectDocuments(const TextTask& task,
                                     const TextEvalOptions& options) {
  const auto all = static_cast<int64_t>(task.documents.size());
  if (all == 0) throw UserError(task.name + ": its data file has no rows");
  if (options.limit && !options.samples.empty()) {
    throw UserError("a limit and a list of samples exclude each other");
  }
  for (const int64_t number : options.samples) {
    if (number < 0 || number >= all) {
      throw UserError(fmt::format("{}: no document {}, there are {} (from 0)",
                                  task.name, number, all));
    }
  }
  if (!options.samples.empty()) return options.samples;
  double count = static_cast<double>(all);
  if (options.limit) {
    const double limit = *options.limit;
    if (!(limit > 0)) throw UserError("a limit must be larger than 0");
    count = std::min(count,
                     limit < 1 ? std::ceil(count * limit) : std::floor(limit));
  }
  std::vector<int64_t> numbers(static_cast<size_t>(count));
  for (size_t i = 0; i < numbers.size(); ++i) {
    numbers[i] = static_cast<int64_t>(i);
  }
  return numbers;
}

TextEvalResult RunTextTask(const TextTask& task, const Tokenizer& tokenizer,
                           const ScoringModel& model,
                           const TextEvalOptions& options) {
  return TaskRun(task, tokenizer, model, options).Run();
}

}  // namespace rattn
