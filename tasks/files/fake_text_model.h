// Tokenizers, models and answers for tests of tasks on text.
#pragma once

#include <algorithm>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "models/scoring_model.h"
#include "models/sha256.h"
#include "models/tokenizer.h"
#include "tasks/files/run_text_task.h"

namespace rattn {

// A token a byte; ids above 255 are BOS, EOS and pairs of bytes.
class ByteTokenizer : public Tokenizer {
 public:
  static constexpr int32_t kBos = 256, kEos = 257, kFirstPair = 258;

  explicit ByteTokenizer(bool adds_bos = false,
                         std::vector<std::string> pairs = {})
      : adds_bos_(adds_bos), pairs_(std::move(pairs)) {}

  int64_t vocab_size() const override {
    return kFirstPair + static_cast<int64_t>(pairs_.size());
  }
  std::vector<int32_t> Encode(std::string_view text,
                              bool add_special) const override {
    std::vector<int32_t> ids;
    if (add_special && adds_bos_) ids.push_back(kBos);
    while (!text.empty()) {
      const size_t used = text.starts_with("<bos>") ? 5 : PairAt(text) ? 2 : 1;
      ids.push_back(used == 5   ? kBos
                    : used == 2 ? *PairAt(text)
                                : static_cast<uint8_t>(text[0]));
      text.remove_prefix(used);
    }
    return ids;
  }
  std::string Decode(std::span<const int32_t> ids,
                     bool skip_special) const override {
    std::string text;
    for (const int32_t id : ids) {
      if (id == kBos || id == kEos) {
        if (!skip_special) text += Piece(id);
      } else {
        text += Piece(id);
      }
    }
    return text;
  }
  std::string Piece(int32_t id) const override {
    if (id == kBos) return spelt_bos_;
    if (id == kEos) return "<eos>";
    if (id >= kFirstPair) return pairs_[static_cast<size_t>(id - kFirstPair)];
    return std::string(1, static_cast<char>(id));
  }
  int32_t bos() const override { return kBos; }
  int32_t eos() const override { return kEos; }
  bool adds_bos() const override { return adds_bos_; }
  std::string fingerprint() const override { return "bytes"; }
  // How BOS is decoded; another spelling than "<bos>" hides it from callers.
  void set_spelt_bos(std::string text) { spelt_bos_ = std::move(text); }

 private:
  std::optional<int32_t> PairAt(std::string_view text) const {
    const auto found =
        std::find(pairs_.begin(), pairs_.end(), text.substr(0, 2));
    if (found == pairs_.end()) return std::nullopt;
    return kFirstPair + static_cast<int32_t>(found - pairs_.begin());
  }

  bool adds_bos_;
  std::vector<std::string> pairs_;
  std::string spelt_bos_ = "<bos>";
};

// Scores by a function of (context, continuation); generates a fixed text.
class FakeScoringModel : public ScoringModel {
 public:
  using LogProb = std::function<double(const ScoreRequest&)>;

  explicit FakeScoringModel(LogProb score, std::string text = "")
      : score_(std::move(score)), text_(std::move(text)) {}

  int64_t vocab_size() const override { return 300; }
  int64_t max_length() const override { return max_length_; }
  void set_max_length(int64_t length) { max_length_ = length; }

  void Score(std::span<const ScoreRequest> requests,
             const std::function<bool(size_t, const ContinuationScore&)>& done)
      const override {
    // Backwards: the order of arrival is not that of the requests.
    for (size_t i = requests.size(); i-- > 0;) {
      ++asked_;
      if (!done(i, {{score_(requests[i])}, false})) return;
    }
  }
  void Generate(std::span<const GenerateRequest> requests,
                const std::function<bool(size_t, const std::vector<int32_t>&)>&
                    done) const override {
    for (size_t i = 0; i < requests.size(); ++i) {
      std::vector<int32_t> tokens;
      for (const char c : text_) {
        if (static_cast<int64_t>(tokens.size()) >= requests[i].max_new_tokens) {
          break;
        }
        tokens.push_back(static_cast<uint8_t>(c));
        if (requests[i].stop(tokens)) break;
      }
      ++asked_;
      generated_ = static_cast<int64_t>(tokens.size());
      if (!done(i, tokens)) return;
    }
  }

  int64_t asked() const { return asked_; }
  int64_t generated() const { return generated_; }

 private:
  LogProb score_;
  std::string text_;
  int64_t max_length_ = 1 << 20;
  mutable int64_t asked_ = 0, generated_ = 0;
};

// Answers that are functions of the text of the request, the same that lm-eval
// was given when the golden values of lm_eval_golden_test.cc were made.
class HashedAnswers : public AnswerStore {
 public:
  std::optional<TextAnswer> Find(const std::string&,
                                 const TextRequest& request) override {
    std::string text = *request.context;
    text += '\0';
    const std::string hash = Sha256Hex(text + request.continuation);
    const auto number = [&hash](size_t at, size_t digits) {
      return std::stoul(hash.substr(at, digits), nullptr, 16);
    };
    TextAnswer answer;
    if (request.generate) {
      static constexpr const char* kPieces[] = {"The answer is ",
                                                "#### ",
                                                "-",
                                                "1",
                                                "8",
                                                ".",
                                                ",",
                                                "$",
                                                "\n",
                                                " ",
                                                "so",
                                                "5",
                                                "0",
                                                "..",
                                                "=",
                                                "é"};
      for (size_t i = 20; i < 44; ++i) answer.text += kPieces[number(i, 1)];
    } else {
      answer.log_likelihood =
          0.0 - static_cast<double>(number(0, 8) % 4000) / 16.0;
      answer.is_greedy = number(8, 2) % 4 == 0;
    }
    return answer;
  }
  void Add(const std::string&, const TextAnswer&) override {}
};

}  // namespace rattn
