#include "tasks/files/text_answers.h"

#include <fmt/format.h>

#include <cmath>
#include <unordered_map>
#include <utility>

#include "models/error.h"

namespace rattn {
namespace {

class Answerer {
 public:
  Answerer(const std::vector<TextRequest>& requests, const Tokenizer& tokenizer,
           const ScoringModel& model, const TextEvalOptions& options,
           PairEncoder* encoder,
           const std::function<std::string(size_t)>& place)
      : requests_(requests),
        tokenizer_(tokenizer),
        model_(model),
        options_(options),
        encoder_(*encoder),
        place_(place) {
    result_.answers.resize(requests.size());
  }

  AnsweredRequests Run() {
    FindAnswers();
    if (!Report()) return std::move(result_);
    Score();
    if (!result_.stopped) Generate();
    return std::move(result_);
  }

 private:
  // Requests that are one and the same, none of them answered yet.
  struct Pending {
    std::string key;
    size_t first = 0;
    std::vector<size_t> places;
    bool answered = false;
  };

  void FindAnswers() {
    std::unordered_map<std::string, size_t> known;
    for (size_t i = 0; i < requests_.size(); ++i) {
      std::string key = RequestKey(requests_[i], options_.model_key);
      if (options_.answers != nullptr) {
        const auto found = options_.answers->Find(key, requests_[i]);
        if (found) {
          CheckFinite(i, *found);
          result_.answers[i] = *found;
          ++result_.answered_before;
          continue;
        }
      }
      const auto [at, is_new] = known.emplace(key, pending_.size());
      if (is_new) pending_.push_back({std::move(key), i, {}});
      pending_[at->second].places.push_back(i);
    }
    done_ = result_.answered_before;
  }

  std::vector<size_t> PendingOf(bool generate) const {
    std::vector<size_t> chosen;
    for (size_t i = 0; i < pending_.size(); ++i) {
      if (Request(i).generate == generate) chosen.push_back(i);
    }
    return chosen;
  }

  const TextRequest& Request(size_t pending) const {
    return requests_[pending_[pending].first];
  }

  void Score() {
    const std::vector<size_t> chosen = PendingOf(false);
    std::vector<ScoreRequest> encoded;
    encoded.reserve(chosen.size());
    for (const size_t i : chosen) {
      encoded.push_back(
          encoder_.Encode(*Request(i).context, Request(i).continuation));
    }
    if (encoded.empty()) return;
    model_.Score(encoded, [&](size_t i, const ContinuationScore& score) {
      return Keep(chosen[i], {score.Sum(), score.is_greedy, ""});
    });
    CheckAllCame(chosen);
  }

  void Generate() {
    const std::vector<size_t> chosen = PendingOf(true);
    std::vector<GenerateRequest> encoded;
    encoded.reserve(chosen.size());
    for (const size_t i : chosen)
      encoded.push_back(EncodeGeneration(Request(i)));
    if (encoded.empty()) return;
    model_.Generate(encoded, [&](size_t i, const std::vector<int32_t>& tokens) {
      return Keep(chosen[i], {0, false, Text(Request(chosen[i]), tokens)});
    });
    CheckAllCame(chosen);
  }

  GenerateRequest EncodeGeneration(const TextRequest& request) const {
    GenerateRequest encoded;
    encoded.prompt =
        encoder_.EncodePrompt(*request.context, request.max_new_tokens);
    encoded.max_new_tokens = request.max_new_tokens;
    encoded.stop = [this, &request](std::span<const int32_t> tokens) {
      if (tokens.empty()) return false;
      if (tokens.back() == tokenizer_.eos()) return true;
      const std::string text = tokenizer_.Decode(tokens, true);
      for (const std::string& stop : request.stops) {
        if (!stop.empty() && text.find(stop) != std::string::npos) return true;
      }
      return false;
    };
    return encoded;
  }

  std::string Text(const TextRequest& request,
                   std::span<const int32_t> tokens) const {
    std::string text =
        CutAtStops(tokenizer_.Decode(tokens, true), request.stops);
    if (tokenizer_.eos() < 0) return text;
    const std::vector<std::string> end = {
        tokenizer_.Decode(std::vector<int32_t>{tokenizer_.eos()}, false)};
    return CutAtStops(std::move(text), end);
  }

  void CheckFinite(size_t request, const TextAnswer& answer) const {
    if (std::isfinite(answer.log_likelihood)) return;
    throw RunError(
        fmt::format("{}: the model gives a log-likelihood that is not finite; "
                    "check its weights, or evaluate in fp32",
                    place_(request)));
  }

  bool Keep(size_t pending, TextAnswer answer) {
    Pending& asked = pending_[pending];
    CheckFinite(asked.first, answer);
    if (options_.answers != nullptr) options_.answers->Add(asked.key, answer);
    for (const size_t i : asked.places) result_.answers[i] = answer;
    done_ += static_cast<int64_t>(asked.places.size());
    asked.answered = true;
    return Report();
  }

  bool Report() {
    result_.stopped =
        options_.progress &&
        !options_.progress(done_, static_cast<int64_t>(requests_.size()));
    return !result_.stopped;
  }

  void CheckAllCame(const std::vector<size_t>& chosen) const {
    if (result_.stopped) return;
    for (const size_t i : chosen) {
      if (!pending_[i].answered) {
        throw RunError(fmt::format("{}: the model gave no answer",
                                   place_(pending_[i].first)));
      }
    }
  }

  const std::vector<TextRequest>& requests_;
  const Tokenizer& tokenizer_;
  const ScoringModel& model_;
  const TextEvalOptions& options_;
  PairEncoder& encoder_;
  const std::function<std::string(size_t)>& place_;
  std::vector<Pending> pending_;
  AnsweredRequests result_;
  int64_t done_ = 0;
};

}  // namespace

AnsweredRequests AnswerRequests(
    const std::vector<TextRequest>& requests, const Tokenizer& tokenizer,
    const ScoringModel& model, const TextEvalOptions& options,
    PairEncoder* encoder, const std::function<std::string(size_t)>& place) {
  return Answerer(requests, tokenizer, model, options, encoder, place).Run();
}

}  // namespace rattn
