// Question answering over documents: the answer stands in one of them.
#include <algorithm>

#include "tasks/params.h"
#include "tasks/ruler_generator.h"

namespace rattn {
namespace {

struct QaParams {
  int64_t facts = 1;    // of each document
  int64_t answers = 1;  // values of each fact, any of which is right
};

template <typename Visitor>
void VisitFields(Visitor& visit, QaParams& p) {
  visit.Optional("facts", p.facts, "facts of each document");
  visit.Optional("answers", p.answers,
                 "values of each fact; any of them is right");
}

// A document: [document] and per fact [ATTRIBUTE][TITLE][VALUE]...; a question:
// [about][ATTRIBUTE][TITLE]. The other documents have other titles but share
// attributes, and the asked one has other facts.
class Qa : public RulerGenerator {
 public:
  Qa(const RulerVocab& vocab, const QaParams& params, const std::string& origin)
      : vocab_(vocab), p_(params) {
    CheckRange(origin, "facts", p_.facts, 1, vocab.attributes());
    CheckRange(origin, "answers", p_.answers, 1, vocab.values());
  }

  int64_t most_questions() const override { return vocab_.keys() / 2; }
  int64_t LeastLength(int64_t questions) const override {
    return questions * (document_tokens() + kPrompt + p_.answers);
  }
  double Chance() const override {
    // The answer names as many values as the fact has.
    double missed = 1;
    const auto values = static_cast<double>(vocab_.values());
    for (int64_t i = 0; i < p_.answers; ++i) {
      missed *= 1 - static_cast<double>(p_.answers) / values;
    }
    return 1 - missed;
  }
  bool any_reference() const override { return true; }
  RulerText Make(const RulerRequest& request,
                 PhiloxSequence* random) const override;

 private:
  static constexpr int64_t kPrompt = 3;

  int64_t document_tokens() const { return 1 + p_.facts * (2 + p_.answers); }
  // Appends the document; with `question`, asks for its first fact.
  Tokens Document(int64_t title, RulerQuestion* question,
                  PhiloxSequence* random) const;

  const RulerVocab& vocab_;
  QaParams p_;
};

Tokens Qa::Document(int64_t title, RulerQuestion* question,
                    PhiloxSequence* random) const {
  std::vector<Tokens> facts;
  for (const int64_t attribute :
       DrawDistinct(vocab_.attributes(), p_.facts, random)) {
    Tokens fact = {vocab_.Attribute(attribute), vocab_.Key(title)};
    for (const int64_t value :
         DrawDistinct(vocab_.values(), p_.answers, random)) {
      fact.push_back(vocab_.Value(value));
    }
    facts.push_back(std::move(fact));
  }
  if (question != nullptr) {
    const Tokens& asked = facts[0];
    question->prompt = {RulerVocab::kAbout, asked[0], asked[1]};
    question->answer.assign(asked.begin() + 2, asked.end());
    for (const int32_t value : question->answer) {
      question->references.push_back({value});
    }
    Shuffle(&facts, random);
  }
  Tokens document = {RulerVocab::kDocument};
  for (const Tokens& fact : facts) {
    document.insert(document.end(), fact.begin(), fact.end());
  }
  return document;
}

RulerText Qa::Make(const RulerRequest& request, PhiloxSequence* random) const {
  RulerText text;
  text.questions.resize(request.questions);
  const auto titles = DrawDistinct(vocab_.keys(), vocab_.keys(), random);
  std::vector<Tokens> asked;
  for (int64_t i = 0; i < request.questions; ++i) {
    asked.push_back(Document(titles[i], &text.questions[i], random));
  }
  const int64_t room = request.length - TailLength(text.questions) -
                       request.questions * document_tokens();
  int64_t count = room / document_tokens();
  if (request.thin_distractors) {
    count = static_cast<int64_t>(random->Below(count + 1));
  }
  // Titles of the asked documents are nowhere else; others may come again.
  const auto others = static_cast<int64_t>(titles.size()) - request.questions;
  std::vector<Tokens> units;
  for (int64_t i = 0; i < count; ++i) {
    units.push_back(
        Document(titles[request.questions + i % others], nullptr, random));
  }
  const auto words = SingleTokens(
      RandomNoise(vocab_, room - count * document_tokens(), random));
  units.insert(units.end(), words.begin(), words.end());
  Shuffle(&units, random);
  const auto all = static_cast<int64_t>(units.size());
  std::vector<int64_t> places;
  for (int64_t i = 0; i < request.questions; ++i) {
    places.push_back(static_cast<int64_t>(random->Below(all + 1)));
  }
  if (request.depth) places[0] = PlaceAtDepth(all, *request.depth);
  for (int64_t i = 0; i < request.questions; ++i) {
    text.questions[i].depth = DepthOfPlace(all, places[i]);
  }
  text.haystack = InsertPieces(units, asked, places);
  return text;
}

std::unique_ptr<RulerGenerator> MakeQa(const RulerVocab& vocab,
                                       const Json& json,
                                       const std::string& origin,
                                       const std::string& path) {
  QaParams params;
  json_fields::Read(origin, path, json, &params);
  return std::make_unique<Qa>(vocab, params, origin);
}

constexpr RulerKind kKinds[] = {
    {"qa", "a question about one of many documents", MakeQa}};

}  // namespace

std::span<const RulerKind> QaKinds() { return kKinds; }

}  // namespace rattn
