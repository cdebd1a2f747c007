#include "tasks/files/text_perplexity.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <utility>

#include "models/error.h"
#include "models/json_fields.h"
#include "models/sha256.h"
#include "tasks/files/pair_encoding.h"
#include "tasks/files/text_requests.h"
#include "tasks/python_text.h"
#include "tasks/scoring.h"

namespace rattn {
namespace {

using Ids = std::vector<int32_t>;

class PerplexityRun {
 public:
  PerplexityRun(const std::string& path, const Tokenizer& tokenizer,
                const ScoringModel& model, const PerplexityOptions& options)
      : path_(path),
        tokenizer_(tokenizer),
        model_(model),
        options_(options),
        text_(ReadTextFile(path)) {}

  TextEvalResult Run() {
    CutIntoWindows();
    Describe();
    if (FindAnswers() && ScoreRest()) {
      AddMetrics();
    } else {
      result_.stopped = true;
    }
    return std::move(result_);
  }

 private:
  void CutIntoWindows() {
    window_ = options_.window > 0 ? options_.window : model_.max_length();
    stride_ = options_.stride > 0 ? options_.stride : window_;
    if (window_ > model_.max_length() || stride_ > window_) {
      throw UserError(fmt::format(
          "{}: a window of {} and a stride of {} tokens do not fit a model of "
          "length {}: stride <= window <= length",
          path_, window_, stride_, model_.max_length()));
    }
    tokens_ = tokenizer_.Encode(text_, false);
    if (options_.most_tokens > 0 &&
        options_.most_tokens < static_cast<int64_t>(tokens_.size())) {
      tokens_.resize(static_cast<size_t>(options_.most_tokens));
      text_ = tokenizer_.Decode(tokens_, false);
    }
    if (tokens_.empty()) throw UserError(path_ + ": has no text to score");
    const PairEncoder encoder(tokenizer_, model_.max_length());
    windows_ =
        RollingWindows(tokens_, encoder.prefix_token(), window_, stride_);
    sums_.resize(windows_.size());
    result_.first_prompt = windows_.front().context;
  }

  void Describe() {
    result_.name = result_.alias = "perplexity";
    result_.version = 1.0;
    result_.documents = result_.evaluated = 1;
    result_.requests = static_cast<int64_t>(windows_.size());
    result_.config = {{"task", "perplexity"},
                      {"output_type", "loglikelihood_rolling"},
                      {"window", window_},
                      {"stride", stride_},
                      {"tokens", tokens_.size()},
                      {"bytes", text_.size()},
                      {"words", CountWords(text_)},
                      {"files", {{path_, Sha256Hex(text_)}}},
                      {"metadata", {{"version", 1.0}}}};
  }

  static TextRequest RequestOf(const ScoreRequest& window) {
    const auto text = [](const Ids& ids) {
      return fmt::format("{}", fmt::join(ids, " "));
    };
    return {std::make_shared<const std::string>(text(window.context)),
            text(window.continuation)};
  }

  std::string KeyOf(const TextRequest& request) const {
    return RequestKey(request, options_.model_key + " tokens");
  }

  bool FindAnswers() {
    for (size_t i = 0; i < windows_.size(); ++i) {
      if (options_.answers != nullptr) {
        const TextRequest request = RequestOf(windows_[i]);
        const auto found = options_.answers->Find(KeyOf(request), request);
        if (found) {
          Keep(i, found->log_likelihood);
          ++result_.answered_before;
          continue;
        }
      }
      rest_.push_back(i);
    }
    return Report();
  }

  bool ScoreRest() {
    std::vector<ScoreRequest> requests;
    for (const size_t i : rest_) requests.push_back(windows_[i]);
    if (requests.empty()) return true;
    model_.Score(requests, [&](size_t r, const ContinuationScore& score) {
      const size_t i = rest_[r];
      Keep(i, score.Sum());
      if (options_.answers != nullptr) {
        options_.answers->Add(KeyOf(RequestOf(windows_[i])),
                              {score.Sum(), score.is_greedy, ""});
      }
      return Report();
    });
    if (done_ == windows_.size()) return true;
    if (going_) throw RunError(path_ + ": the model left out windows");
    return false;
  }

  void Keep(size_t i, double sum) {
    if (!std::isfinite(sum)) {
      throw RunError(fmt::format(
          "{}, window {}: the model gives a log-likelihood that is not finite; "
          "check its weights, or evaluate in fp32",
          path_, i));
    }
    sums_[i] = sum;
    ++done_;
  }

  bool Report() {
    going_ = !options_.progress ||
             options_.progress(static_cast<int64_t>(done_),
                               static_cast<int64_t>(windows_.size()));
    return going_;
  }

  void AddMetrics() {
    ClusteredMean nats;  // per token
    for (size_t i = 0; i < windows_.size(); ++i) {
      const auto count = static_cast<double>(windows_[i].continuation.size());
      nats.Add(static_cast<int64_t>(i), -sums_[i], count);
      if (options_.log_samples) {
        result_.samples.push_back(
            {{"window", i},
             {"context_tokens", windows_[i].context.size()},
             {"tokens", windows_[i].continuation.size()},
             {"log_likelihood", sums_[i]}});
      }
    }
    const auto words = static_cast<double>(CountWords(text_));
    const auto bytes = static_cast<double>(text_.size());
    const double tokens = nats.weight();
    AddPerplexity("word_perplexity", nats, tokens / words);
    AddPerplexity("byte_perplexity", nats, tokens / bytes);
    AddMetric("bits_per_byte", nats, tokens / bytes / std::numbers::ln2);
    AddPerplexity("token_perplexity", nats, 1);
  }

  // nats per token times `scale`.
  void AddMetric(const std::string& name, const ClusteredMean& nats,
                 double scale) {
    Estimate estimate;
    estimate.value = nats.value() * scale;
    const double error = nats.standard_error() * scale;
    const double half = std::isnan(error) ? 0 : kNormal95 * error;
    if (!std::isnan(error)) estimate.standard_error = error;
    estimate.interval = {estimate.value - half, estimate.value + half};
    result_.metrics.push_back({name, "none", estimate, false});
  }

  void AddPerplexity(const std::string& name, const ClusteredMean& nats,
                     double scale) {
    AddMetric(name, nats, scale);
    Estimate& estimate = result_.metrics.back().estimate;
    estimate.value = std::exp(estimate.value);
    if (estimate.standard_error) *estimate.standard_error *= estimate.value;
    estimate.interval = {std::exp(estimate.interval.first),
                         std::exp(estimate.interval.second)};
  }

  const std::string& path_;
  const Tokenizer& tokenizer_;
  const ScoringModel& model_;
  const PerplexityOptions& options_;
  std::string text_;
  int64_t window_ = 0, stride_ = 0;
  Ids tokens_;
  std::vector<ScoreRequest> windows_;
  std::vector<double> sums_;
  std::vector<size_t> rest_;  // windows without an answer yet
  size_t done_ = 0;
  bool going_ = true;
  TextEvalResult result_;
};

}  // namespace

std::vector<ScoreRequest> RollingWindows(const Ids& tokens, int32_t prefix,
                                         int64_t window, int64_t stride) {
  const auto slice = [&tokens](int64_t from, int64_t to) {
    return Ids(tokens.begin() + from, tokens.begin() + to);
  };
  const auto all = static_cast<int64_t>(tokens.size());
  int64_t scored = std::min(window, all);
  std::vector<ScoreRequest> windows = {{{prefix}, slice(0, scored)}};
  while (scored < all) {
    const int64_t end = std::min(scored + stride, all);
    windows.push_back({slice(end - window - 1, scored), slice(scored, end)});
    scored = end;
  }
  return windows;
}

TextEvalResult RunPerplexity(const std::string& path,
                             const Tokenizer& tokenizer,
                             const ScoringModel& model,
                             const PerplexityOptions& options) {
  return PerplexityRun(path, tokenizer, model, options).Run();
}

}  // namespace rattn
