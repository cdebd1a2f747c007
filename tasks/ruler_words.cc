// Common words and frequent words: counting over the whole text.
#include <algorithm>
#include <cmath>

#include "tasks/params.h"
#include "tasks/ruler_generator.h"

namespace rattn {
namespace {

constexpr int64_t kMaxCount = 1 << 10;

// A question for the tokens `answer`, in this order.
RulerQuestion AskWords(int32_t prompt, const Tokens& answer) {
  RulerQuestion question{{prompt}, answer, {}, {}};
  for (const int32_t word : answer) question.references.push_back({word});
  return question;
}

struct CommonParams {
  int64_t common = 3;
  int64_t ratio = 6;
};

template <typename Visitor>
void VisitFields(Visitor& visit, CommonParams& p) {
  visit.Optional("common", p.common, "words that are common");
  visit.Optional("ratio", p.ratio, "how much more often they occur");
}

// RULER lengthens the list by more uncommon words; a small vocabulary has no
// more, so all counts grow and keep their ratio.
class CommonWords : public RulerGenerator {
 public:
  CommonWords(const RulerVocab& vocab, const CommonParams& params,
              const std::string& origin)
      : vocab_(vocab), p_(params) {
    CheckRange(origin, "common", p_.common, 1,
               std::min(kMaxCount, vocab.words() - 1));
    CheckRange(origin, "ratio", p_.ratio, 2, kMaxCount);
    // Common words must be strictly more frequent at every greater length too.
    const int64_t others = vocab_.words() - p_.common;
    least_list_ = p_.common;
    for (int64_t n = p_.common; n <= 4 * (p_.common * p_.ratio + others); ++n) {
      if (!Distinguishes(n)) least_list_ = n + 1;
    }
  }

  int64_t most_questions() const override { return 1; }
  int64_t LeastLength(int64_t) const override {
    return least_list_ + 1 + p_.common;
  }
  double Chance() const override {
    return ChanceOfOne(static_cast<double>(vocab_.words()), p_.common);
  }
  RulerText Make(const RulerRequest& request,
                 PhiloxSequence* random) const override;

 private:
  // Of each common word in a list of n.
  int64_t Repeats(int64_t n) const {
    const int64_t others = vocab_.words() - p_.common;
    return n * p_.ratio / (p_.common * p_.ratio + others);
  }
  bool Distinguishes(int64_t n) const {
    const int64_t others = vocab_.words() - p_.common;
    const int64_t rest = n - p_.common * Repeats(n);
    return Repeats(n) > (rest + others - 1) / others;
  }

  const RulerVocab& vocab_;
  CommonParams p_;
  int64_t least_list_ = 0;
};

RulerText CommonWords::Make(const RulerRequest& request,
                            PhiloxSequence* random) const {
  const auto drawn = DrawDistinct(vocab_.words(), vocab_.words(), random);
  Tokens words;
  for (const int64_t word : drawn) words.push_back(vocab_.Word(word));
  std::sort(words.begin(), words.begin() + p_.common);
  const Tokens common(words.begin(), words.begin() + p_.common);
  RulerText text;
  text.questions.push_back(AskWords(RulerVocab::kCommon, common));
  const int64_t n = request.length - TailLength(text.questions);
  for (const int32_t word : common) {
    text.haystack.insert(text.haystack.end(), Repeats(n), word);
  }
  const int64_t others = vocab_.words() - p_.common;
  for (int64_t i = 0; static_cast<int64_t>(text.haystack.size()) < n; ++i) {
    text.haystack.push_back(words[p_.common + i % others]);
  }
  Shuffle(&text.haystack, random);
  return text;
}

struct FrequentParams {
  double alpha = 2.0;
  int64_t answers = 3;
};

template <typename Visitor>
void VisitFields(Visitor& visit, FrequentParams& p) {
  visit.Optional("alpha", p.alpha, "exponent of the zeta distribution");
  visit.Optional("answers", p.answers,
                 "most frequent words that are asked for");
}

// Rank 1 of the zeta distribution is the filler "...", as in RULER; the asked
// words are ranks 2, 3, ...
class FrequentWords : public RulerGenerator {
 public:
  FrequentWords(const RulerVocab& vocab, const FrequentParams& params,
                const std::string& origin)
      : vocab_(vocab), p_(params) {
    CheckRange(origin, "answers", p_.answers, 1,
               std::min(kMaxCount, vocab.words()));
    if (!(p_.alpha >= 1.1 && p_.alpha <= 10)) {
      throw UserError(origin + ": \"alpha\" must be from 1.1 to 10, not " +
                      std::to_string(p_.alpha));
    }
    zeta_ = std::riemann_zeta(p_.alpha);
    least_list_ = static_cast<int64_t>(std::ceil(
        zeta_ * std::pow(static_cast<double>(p_.answers + 1), p_.alpha)));
    while (Count(least_list_, p_.answers + 1) < 1) ++least_list_;
    CheckLength(origin, LeastLength(1), 0);
  }

  int64_t most_questions() const override { return 1; }
  int64_t LeastLength(int64_t) const override {
    return least_list_ + 1 + p_.answers;
  }
  double Chance() const override {
    return ChanceOfOne(static_cast<double>(vocab_.words()), p_.answers);
  }
  RulerText Make(const RulerRequest& request,
                 PhiloxSequence* random) const override;

 private:
  int64_t Count(int64_t n, int64_t rank) const {
    return static_cast<int64_t>(static_cast<double>(n) / zeta_ *
                                std::pow(static_cast<double>(rank), -p_.alpha));
  }

  const RulerVocab& vocab_;
  FrequentParams p_;
  double zeta_ = 0;
  int64_t least_list_ = 0;
};

RulerText FrequentWords::Make(const RulerRequest& request,
                              PhiloxSequence* random) const {
  const auto drawn = DrawDistinct(vocab_.words(), vocab_.words(), random);
  Tokens answer;
  for (int64_t i = 0; i < p_.answers; ++i) {
    answer.push_back(vocab_.Word(drawn[i]));
  }
  RulerText text;
  text.questions.push_back(AskWords(RulerVocab::kFrequent, answer));
  const int64_t n = request.length - TailLength(text.questions);
  const int64_t last_answer = Count(n, p_.answers + 1);
  for (int64_t i = 0; i < vocab_.words(); ++i) {
    int64_t count = Count(n, i + 2);
    // Rounding must not make a word as frequent as the last asked one.
    if (i >= p_.answers) count = std::min(count, last_answer - 1);
    text.haystack.insert(text.haystack.end(), count, vocab_.Word(drawn[i]));
  }
  text.haystack.resize(n, RulerVocab::kDots);
  Shuffle(&text.haystack, random);
  return text;
}

template <typename Generator, typename Params>
std::unique_ptr<RulerGenerator> MakeWords(const RulerVocab& vocab,
                                          const Json& json,
                                          const std::string& origin,
                                          const std::string& path) {
  Params params;
  json_fields::Read(origin, path, json, &params);
  return std::make_unique<Generator>(vocab, params, origin);
}

constexpr RulerKind kKinds[] = {
    {"cwe", "the most common words of a list",
     MakeWords<CommonWords, CommonParams>},
    {"fwe", "the most frequent words of a zeta-distributed text",
     MakeWords<FrequentWords, FrequentParams>}};

}  // namespace

std::span<const RulerKind> WordKinds() { return kKinds; }

}  // namespace rattn
