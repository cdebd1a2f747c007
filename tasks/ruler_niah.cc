// The eight needle-in-a-haystack tasks: one generator, parameters as RULER's
// task table has them.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "tasks/params.h"
#include "tasks/ruler_generator.h"

namespace rattn {
namespace {

struct NiahParams {
  std::string haystack = "essay";
  int64_t keys = 1;
  int64_t values = 1;   // of each key
  int64_t queries = 1;  // keys that a question asks for
  int64_t key_tokens = 1;
  int64_t value_tokens = 1;
  int64_t sentence = 5;
};

template <typename Visitor>
void VisitFields(Visitor& visit, NiahParams& p) {
  visit.Optional("haystack", p.haystack,
                 "noise (a repeated sentence), essay (random words) or needles "
                 "(distractors)");
  visit.Optional("keys", p.keys, "keys with needles");
  visit.Optional("values", p.values, "needles of each key");
  visit.Optional("queries", p.queries, "keys that one question asks for");
  visit.Optional("key_tokens", p.key_tokens, "tokens of a key");
  visit.Optional("value_tokens", p.value_tokens, "tokens of a value");
  visit.Optional("sentence", p.sentence, "words of the repeated sentence");
}

constexpr int64_t kMaxCount = 1 << 12;
constexpr int64_t kMaxTokens = 8;

class Niah : public RulerGenerator {
 public:
  Niah(const RulerVocab& vocab, const NiahParams& params,
       const std::string& origin)
      : vocab_(vocab), p_(params), needles_(params.haystack == "needles") {
    CheckOneOf(origin, "haystack", p_.haystack, {"noise", "essay", "needles"});
    CheckRange(origin, "key_tokens", p_.key_tokens, 1, kMaxTokens);
    CheckRange(origin, "value_tokens", p_.value_tokens, 1, kMaxTokens);
    CheckRange(origin, "sentence", p_.sentence, 1, vocab.words());
    // Distractors need a key that is not asked for.
    CheckRange(origin, "keys", p_.keys, 1,
               std::min<int64_t>(kMaxCount, KeyKinds() - (needles_ ? 1 : 0)));
    CheckRange(origin, "values", p_.values, 1,
               std::min<int64_t>(kMaxCount, ValueKinds()));
    CheckRange(origin, "queries", p_.queries, 1, p_.keys);
  }

  int64_t most_questions() const override {
    const int64_t keys = needles_ ? KeyKinds() / 2 : p_.keys;
    return std::max<int64_t>(1, keys / p_.queries);
  }
  int64_t LeastLength(int64_t questions) const override {
    const int64_t unit = p_.key_tokens + p_.value_tokens;
    const int64_t prompt =
        1 + p_.queries * p_.key_tokens + (restates() ? 1 : 0);
    return KeysFor(questions) * p_.values * unit +
           questions * (prompt + answer_tokens());
  }
  double Chance() const override {
    const double kinds = std::pow(static_cast<double>(vocab_.values()),
                                  static_cast<double>(p_.value_tokens));
    // Values stand back to back unless keys are restated between them, and a
    // match may begin at any of their tokens.
    const int64_t slots =
        restates() ? p_.queries * ((p_.values - 1) * p_.value_tokens + 1)
                   : (p_.values - 1) * p_.value_tokens + 1;
    return ChanceOfOne(kinds, slots);
  }
  RulerText Make(const RulerRequest& request,
                 PhiloxSequence* random) const override;

 private:
  struct Needle {
    Tokens key;
    std::vector<Tokens> values;
  };

  // Answers to several keys say which key each value belongs to.
  bool restates() const { return p_.queries > 1; }
  int64_t answer_tokens() const {
    return p_.queries *
           (p_.values * p_.value_tokens + (restates() ? p_.key_tokens : 0));
  }
  static int64_t Power(int64_t base, int64_t exponent) {
    int64_t power = 1;
    for (int64_t i = 0; i < exponent && power < (int64_t{1} << 40); ++i) {
      power *= base;
    }
    return power;
  }
  int64_t KeyKinds() const { return Power(vocab_.keys(), p_.key_tokens); }
  int64_t ValueKinds() const { return Power(vocab_.values(), p_.value_tokens); }
  // Every question of a needle haystack may have keys of its own.
  int64_t KeysFor(int64_t questions) const {
    return needles_ ? std::max(p_.keys, questions * p_.queries) : p_.keys;
  }

  Tokens DrawKey(PhiloxSequence* random) const;
  Tokens DrawValue(PhiloxSequence* random) const;
  std::vector<Needle> DrawNeedles(int64_t count, PhiloxSequence* random) const;
  RulerQuestion Ask(std::span<const Needle> needles) const;
  std::vector<Tokens> Haystack(const RulerRequest& request, int64_t room,
                               const std::vector<Needle>& needles,
                               PhiloxSequence* random) const;

  const RulerVocab& vocab_;
  NiahParams p_;
  bool needles_;
};

Tokens Niah::DrawKey(PhiloxSequence* random) const {
  Tokens key(p_.key_tokens);
  for (int32_t& token : key) token = vocab_.Key(random->Below(vocab_.keys()));
  return key;
}

Tokens Niah::DrawValue(PhiloxSequence* random) const {
  Tokens value(p_.value_tokens);
  for (int32_t& token : value) {
    token = vocab_.Value(random->Below(vocab_.values()));
  }
  return value;
}

std::vector<Niah::Needle> Niah::DrawNeedles(int64_t count,
                                            PhiloxSequence* random) const {
  std::vector<Needle> needles;
  std::set<Tokens> keys;
  while (static_cast<int64_t>(needles.size()) < count) {
    Needle needle{DrawKey(random), {}};
    if (!keys.insert(needle.key).second) continue;
    std::set<Tokens> values;
    while (static_cast<int64_t>(values.size()) < p_.values) {
      values.insert(DrawValue(random));
    }
    needle.values.assign(values.begin(), values.end());
    needles.push_back(std::move(needle));
  }
  return needles;
}

void Append(const Tokens& piece, Tokens* tokens) {
  tokens->insert(tokens->end(), piece.begin(), piece.end());
}

RulerQuestion Niah::Ask(std::span<const Needle> needles) const {
  RulerQuestion question;
  question.prompt = {p_.values == 1 ? RulerVocab::kAsk : RulerVocab::kAskAll};
  for (const Needle& needle : needles) {
    Append(needle.key, &question.prompt);
    if (restates()) Append(needle.key, &question.answer);
    for (const Tokens& value : needle.values) {  // in order of token ids
      Append(value, &question.answer);
      question.references.push_back(value);
    }
  }
  if (restates()) question.prompt.push_back(RulerVocab::kAnswer);
  return question;
}

std::vector<Tokens> Niah::Haystack(const RulerRequest& request, int64_t room,
                                   const std::vector<Needle>& needles,
                                   PhiloxSequence* random) const {
  if (p_.haystack == "noise") {
    return SingleTokens(RepeatedNoise(vocab_, room, p_.sentence));
  }
  if (!needles_) return SingleTokens(RandomNoise(vocab_, room, random));
  const int64_t unit = p_.key_tokens + p_.value_tokens;
  int64_t count = room / unit;
  if (request.thin_distractors) {
    count = static_cast<int64_t>(random->Below(count + 1));
  }
  std::set<Tokens> asked;
  for (const Needle& needle : needles) asked.insert(needle.key);
  std::vector<Tokens> units;
  while (static_cast<int64_t>(units.size()) < count) {
    Tokens distractor = DrawKey(random);
    if (asked.contains(distractor)) continue;
    Append(DrawValue(random), &distractor);
    units.push_back(std::move(distractor));
  }
  const auto words =
      SingleTokens(RandomNoise(vocab_, room - count * unit, random));
  units.insert(units.end(), words.begin(), words.end());
  Shuffle(&units, random);
  return units;
}

RulerText Niah::Make(const RulerRequest& request,
                     PhiloxSequence* random) const {
  const std::vector<Needle> needles =
      DrawNeedles(KeysFor(request.questions), random);
  RulerText text;
  for (int64_t i = 0; i < request.questions; ++i) {
    text.questions.push_back(
        Ask(std::span(needles).subspan(i * p_.queries, p_.queries)));
  }
  std::vector<Tokens> pieces;
  for (const Needle& needle : needles) {
    for (const Tokens& value : needle.values) {
      pieces.push_back(needle.key);
      Append(value, &pieces.back());
    }
  }
  const int64_t unit = p_.key_tokens + p_.value_tokens;
  const int64_t room = request.length - TailLength(text.questions) -
                       static_cast<int64_t>(pieces.size()) * unit;
  const auto units = Haystack(request, room, needles, random);
  const auto count = static_cast<int64_t>(units.size());
  std::vector<int64_t> places;
  for (size_t i = 0; i < pieces.size(); ++i) {
    places.push_back(static_cast<int64_t>(random->Below(count + 1)));
  }
  if (request.depth) places[0] = PlaceAtDepth(count, *request.depth);
  for (int64_t i = 0; i < request.questions; ++i) {
    text.questions[i].depth =
        DepthOfPlace(count, places[i * p_.queries * p_.values]);
  }
  // The order of pieces that share a place must not tell the asked one.
  if (!request.depth) {
    std::vector<size_t> order(pieces.size());
    for (size_t i = 0; i < order.size(); ++i) order[i] = i;
    Shuffle(&order, random);
    std::vector<Tokens> mixed(pieces.size());
    std::vector<int64_t> mixed_places(pieces.size());
    for (size_t i = 0; i < order.size(); ++i) {
      mixed[i] = pieces[order[i]];
      mixed_places[i] = places[order[i]];
    }
    pieces = std::move(mixed);
    places = std::move(mixed_places);
  }
  text.haystack = InsertPieces(units, pieces, places);
  return text;
}

template <const NiahParams& kParams>
std::unique_ptr<RulerGenerator> MakeNiah(const RulerVocab& vocab,
                                         const Json& json,
                                         const std::string& origin,
                                         const std::string& path) {
  NiahParams params = kParams;
  json_fields::Read(origin, path, json, &params);
  return std::make_unique<Niah>(vocab, params, origin);
}

// haystack, keys, values, queries, key tokens, value tokens. A uuid is two
// tokens here.
const NiahParams kSingle1{"noise", 1, 1, 1, 1, 1};
const NiahParams kSingle2{"essay", 1, 1, 1, 1, 1};
const NiahParams kSingle3{"essay", 1, 1, 1, 1, 2};
const NiahParams kMultikey1{"essay", 4, 1, 1, 1, 1};
const NiahParams kMultikey2{"needles", 1, 1, 1, 1, 1};
const NiahParams kMultikey3{"needles", 1, 1, 1, 2, 2};
const NiahParams kMultivalue{"essay", 1, 4, 1, 1, 1};
const NiahParams kMultiquery{"essay", 4, 1, 4, 1, 1};

constexpr RulerKind kKinds[] = {
    {"niah_single_1", "one needle in a repeated sentence", MakeNiah<kSingle1>},
    {"niah_single_2", "one needle in random words", MakeNiah<kSingle2>},
    {"niah_single_3", "one needle with a value of two tokens",
     MakeNiah<kSingle3>},
    {"niah_multikey_1", "four needles, one is asked for", MakeNiah<kMultikey1>},
    {"niah_multikey_2", "one needle among needles", MakeNiah<kMultikey2>},
    {"niah_multikey_3", "the same with keys and values of two tokens",
     MakeNiah<kMultikey3>},
    {"niah_multivalue", "all four values of one key", MakeNiah<kMultivalue>},
    {"niah_multiquery", "the values of four keys", MakeNiah<kMultiquery>},
};

}  // namespace

std::span<const RulerKind> NiahKinds() { return kKinds; }

}  // namespace rattn
