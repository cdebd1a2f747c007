// Variable tracking: chains of assignments in a repeated sentence; which
// variables hold a value?
#include <algorithm>

#include "tasks/params.h"
#include "tasks/ruler_generator.h"

namespace rattn {
namespace {

struct TraceParams {
  int64_t chains = 2;
  int64_t hops = 2;  // assignments from variable to variable
  int64_t sentence = 5;
};

template <typename Visitor>
void VisitFields(Visitor& visit, TraceParams& p) {
  visit.Optional("chains", p.chains, "chains, each with a value of its own");
  visit.Optional("hops", p.hops, "assignments from variable to variable");
  visit.Optional("sentence", p.sentence, "words of the repeated sentence");
}

// A chain: [VALUE][A] (VAR A = VALUE), then [A][B] (VAR B = VAR A) and so on,
// in order. RULER's worked example is left out: the model is trained on the
// form of the answer.
class Trace : public RulerGenerator {
 public:
  Trace(const RulerVocab& vocab, const TraceParams& params,
        const std::string& origin)
      : vocab_(vocab), p_(params) {
    CheckRange(origin, "hops", p_.hops, 0, vocab.keys() - 1);
    CheckRange(origin, "chains", p_.chains, 1,
               std::min(vocab.values(), vocab.keys() / names()));
    CheckRange(origin, "sentence", p_.sentence, 1, vocab.words());
  }

  int64_t most_questions() const override { return p_.chains; }
  int64_t LeastLength(int64_t questions) const override {
    return p_.chains * names() * 2 + questions * (2 + names());
  }
  double Chance() const override {
    return ChanceOfOne(static_cast<double>(vocab_.keys()), names());
  }
  RulerText Make(const RulerRequest& request,
                 PhiloxSequence* random) const override;

 private:
  int64_t names() const { return p_.hops + 1; }
  std::vector<Tokens> Statements(const std::vector<std::vector<Tokens>>& chains,
                                 PhiloxSequence* random) const;

  const RulerVocab& vocab_;
  TraceParams p_;
};

// All chains' statements, mixed, each chain in its order.
std::vector<Tokens> Trace::Statements(
    const std::vector<std::vector<Tokens>>& chains,
    PhiloxSequence* random) const {
  std::vector<size_t> order;
  for (size_t chain = 0; chain < chains.size(); ++chain) {
    order.insert(order.end(), chains[chain].size(), chain);
  }
  Shuffle(&order, random);
  std::vector<size_t> next(chains.size(), 0);
  std::vector<Tokens> mixed;
  for (const size_t chain : order) {
    mixed.push_back(chains[chain][next[chain]++]);
  }
  return mixed;
}

RulerText Trace::Make(const RulerRequest& request,
                      PhiloxSequence* random) const {
  const auto keys = DrawDistinct(vocab_.keys(), p_.chains * names(), random);
  const auto values = DrawDistinct(vocab_.values(), p_.chains, random);
  RulerText text;
  std::vector<std::vector<Tokens>> chains(p_.chains);
  for (int64_t c = 0; c < p_.chains; ++c) {
    RulerQuestion question;
    int32_t source = vocab_.Value(values[c]);
    question.prompt = {RulerVocab::kTrace, source};
    for (int64_t i = 0; i < names(); ++i) {
      const int32_t name = vocab_.Key(keys[c * names() + i]);
      chains[c].push_back({source, name});
      question.answer.push_back(name);
      question.references.push_back({name});
      source = name;
    }
    if (c < request.questions) text.questions.push_back(std::move(question));
  }
  const auto pieces = Statements(chains, random);
  const int64_t room = request.length - TailLength(text.questions) -
                       2 * static_cast<int64_t>(pieces.size());
  std::vector<int64_t> places;
  for (size_t i = 0; i < pieces.size(); ++i) {
    places.push_back(static_cast<int64_t>(random->Below(room + 1)));
  }
  std::sort(places.begin(), places.end());
  text.haystack = InsertPieces(
      SingleTokens(RepeatedNoise(vocab_, room, p_.sentence)), pieces, places);
  return text;
}

std::unique_ptr<RulerGenerator> MakeTrace(const RulerVocab& vocab,
                                          const Json& json,
                                          const std::string& origin,
                                          const std::string& path) {
  TraceParams params;
  json_fields::Read(origin, path, json, &params);
  return std::make_unique<Trace>(vocab, params, origin);
}

constexpr RulerKind kKinds[] = {
    {"vt", "variable tracking: the chain of variables that holds a value",
     MakeTrace}};

}  // namespace

std::span<const RulerKind> TraceKinds() { return kKinds; }

}  // namespace rattn
