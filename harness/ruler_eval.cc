#include "harness/ruler_eval.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <memory>

#include "models/error.h"
#include "models/sha256.h"
#include "tasks/files/lm_eval_samples.h"
#include "tasks/files/text_answers.h"

namespace rattn {
namespace {

constexpr double kPercent = 100;

// As SampleLine wants them.
TextDocument DocumentOf(const RulerTextSample& sample, int64_t length) {
  TextDocument document;
  document.row = {{"index", sample.index},
                  {"outputs", sample.outputs},
                  {"length", sample.length},
                  {"max_length", length},
                  {"answer_prefix", sample.answer_prefix}};
  document.target_text = Json(sample.outputs).dump();
  return document;
}

TextRequest RequestOf(const RulerTextSample& sample) {
  TextRequest request;
  request.context = std::make_shared<const std::string>(sample.Prompt());
  request.generate = true;
  request.max_new_tokens = sample.tokens_to_generate;
  return request;
}

class RulerRun {
 public:
  RulerRun(const RulerTextTask& task, const RulerEvalOptions& options,
           RulerSources* sources, const Tokenizer& tokenizer,
           const ScoringModel& model, const TextEvalOptions& text)
      : task_(task),
        options_(options),
        sources_(*sources),
        tokenizer_(tokenizer),
        model_(model),
        text_(text) {}

  TextEvalResult Run(std::vector<RulerScoreRow>* rows) {
    Describe();
    for (const int64_t length : options_.lengths) {
      RunLength(length, rows);
      if (result_.stopped) break;
    }
    result_.task_hash = Sha256Hex(hashes_);
    return std::move(result_);
  }

 private:
  RulerRequest RequestAt(int64_t length) const {
    RulerRequest request = options_.request;
    request.length = length;
    if (text_.limit) {
      const double limit = *text_.limit;
      const auto all = static_cast<double>(request.samples);
      request.samples = static_cast<int64_t>(limit < 1 ? std::ceil(all * limit)
                                                       : std::min(limit, all));
    }
    return request;
  }

  void Describe() {
    result_.name = task_.name;
    result_.alias =
        fmt::format("{} ({})", task_.name, RulerModeName(options_.mode));
    result_.version = 1;
    Json identity =
        RulerIdentity(options_.mode, task_, RequestAt(options_.lengths.front()),
                      &sources_, tokenizer_);
    identity["lengths"] = options_.lengths;
    identity.erase("length");
    identity["files"] = identity["data"];
    identity.erase("data");
    identity["output_type"] = "generate_until";
    identity["scale"] = Scale();
    result_.config = identity;
  }

  double Scale() const {
    return options_.mode == RulerMode::kLmEval ? 1 : kPercent;
  }

  // Their progress counts all lengths.
  TextEvalOptions OptionsHere() const {
    TextEvalOptions options = text_;
    if (text_.progress) {
      options.progress = [this](int64_t done, int64_t of_length) {
        return text_.progress(
            result_.requests + done,
            of_length * static_cast<int64_t>(options_.lengths.size()));
      };
    }
    return options;
  }

  void RunLength(int64_t length, std::vector<RulerScoreRow>* rows) {
    const auto samples = MakeRulerSamples(
        options_.mode, task_, RequestAt(length), &sources_, tokenizer_);
    std::vector<TextRequest> requests;
    for (const auto& sample : samples) requests.push_back(RequestOf(sample));
    PairEncoder encoder(tokenizer_, std::max(model_.max_length(), length + 2));
    if (result_.first_prompt.empty()) {
      result_.first_prompt = encoder.EncodeContext(*requests[0].context);
    }
    const TextEvalOptions options = OptionsHere();
    const AnsweredRequests answered = AnswerRequests(
        requests, tokenizer_, model_, options, &encoder, [&](size_t i) {
          return fmt::format("{} at {} tokens, sample {}", task_.name, length,
                             i);
        });
    result_.requests += static_cast<int64_t>(requests.size());
    result_.answered_before += answered.answered_before;
    result_.truncated_prompts += encoder.truncated();
    result_.stopped = answered.stopped;
    if (!result_.stopped) Score(length, samples, requests, answered, rows);
  }

  void Score(int64_t length, const std::vector<RulerTextSample>& samples,
             const std::vector<TextRequest>& requests,
             const AnsweredRequests& answered,
             std::vector<RulerScoreRow>* rows) {
    std::vector<RulerAnswer> answers;
    for (size_t i = 0; i < samples.size(); ++i) {
      answers.push_back({answered.answers[i].text, samples[i].outputs});
    }
    const RulerTaskScore score = ScoreRulerTask(answers, task_, options_.mode);
    rows->push_back({std::string(task_.name), length, score});
    TextMetric metric{std::to_string(length), "none",
                      MeanEstimate(score.of_samples), true};
    metric.estimate.value = score.score;
    if (metric.estimate.standard_error) {
      *metric.estimate.standard_error *= Scale();
    }
    metric.estimate.interval.first *= Scale();
    metric.estimate.interval.second *= Scale();
    result_.metrics.push_back(metric);
    result_.documents += options_.request.samples;
    result_.evaluated += static_cast<int64_t>(samples.size());
    for (size_t i = 0; i < samples.size(); ++i) {
      AddSample(length, samples[i], requests[i], answered.answers[i],
                score.of_samples[i]);
    }
  }

  void AddSample(int64_t length, const RulerTextSample& sample,
                 const TextRequest& request, const TextAnswer& answer,
                 double score) {
    const TextDocument document = DocumentOf(sample, length);
    const SampleHashes hashes = HashSample(document, request);
    hashes_ += hashes.All();
    if (!text_.log_samples) return;
    std::string& predictions =
        result_
            .files[fmt::format("ruler/{}/pred/{}.jsonl", length, task_.name)];
    predictions += RulerPredictionLine(sample, answer.text);
    predictions += '\n';
    TextTask task;
    task.output = OutputKind::kGenerate;
    task.metrics = {std::to_string(length)};
    const Json settings = {{"until", Json::array()},
                           {"max_gen_toks", sample.tokens_to_generate},
                           {"do_sample", false}};
    const std::vector<DocumentMetric> metrics = {{task.metrics[0], score}};
    result_.samples.push_back(SampleLine(
        task, sample.index, document, std::span(&request, 1), settings,
        std::span(&answer, 1), "none", answer.text, metrics, hashes));
  }

  const RulerTextTask& task_;
  const RulerEvalOptions& options_;
  RulerSources& sources_;
  const Tokenizer& tokenizer_;
  const ScoringModel& model_;
  const TextEvalOptions& text_;
  std::string hashes_;
  TextEvalResult result_;
};

}  // namespace

TextEvalResult RunRulerTask(const RulerTextTask& task,
                            const RulerEvalOptions& options,
                            RulerSources* sources, const Tokenizer& tokenizer,
                            const ScoringModel& model,
                            const TextEvalOptions& text,
                            std::vector<RulerScoreRow>* rows) {
  return RulerRun(task, options, sources, tokenizer, model, text).Run(rows);
}

}  // namespace rattn
