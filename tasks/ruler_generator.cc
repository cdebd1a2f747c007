#include "tasks/ruler_generator.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace rattn {

std::span<const RulerKind> RulerKinds() {
  static const std::vector<RulerKind> all = [] {
    std::vector<RulerKind> kinds;
    for (const auto part :
         {NiahKinds(), TraceKinds(), WordKinds(), QaKinds()}) {
      kinds.insert(kinds.end(), part.begin(), part.end());
    }
    return kinds;
  }();
  return all;
}

Tokens RepeatedNoise(const RulerVocab& vocab, int64_t count, int64_t sentence) {
  Tokens tokens(count);
  for (int64_t i = 0; i < count; ++i) tokens[i] = vocab.Word(i % sentence);
  return tokens;
}

Tokens RandomNoise(const RulerVocab& vocab, int64_t count,
                   PhiloxSequence* random) {
  Tokens tokens(count);
  for (int32_t& token : tokens) {
    token = vocab.Word(static_cast<int64_t>(random->Below(vocab.words())));
  }
  return tokens;
}

Tokens InsertPieces(const std::vector<Tokens>& units,
                    const std::vector<Tokens>& pieces,
                    const std::vector<int64_t>& places) {
  std::vector<size_t> order(pieces.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return places[a] < places[b]; });
  Tokens text;
  const auto append = [&](const Tokens& piece) {
    text.insert(text.end(), piece.begin(), piece.end());
  };
  auto next = order.begin();
  for (size_t unit = 0; unit <= units.size(); ++unit) {
    for (; next != order.end() && places[*next] == static_cast<int64_t>(unit);
         ++next) {
      append(pieces[*next]);
    }
    if (unit < units.size()) append(units[unit]);
  }
  return text;
}

std::vector<Tokens> SingleTokens(const Tokens& tokens) {
  std::vector<Tokens> units;
  units.reserve(tokens.size());
  for (const int32_t token : tokens) units.push_back({token});
  return units;
}

int64_t PlaceAtDepth(int64_t units, double depth) {
  return static_cast<int64_t>(
      std::floor(static_cast<double>(units) * depth / 100));
}

double DepthOfPlace(int64_t units, int64_t place) {
  return units == 0
             ? 0
             : 100 * static_cast<double>(place) / static_cast<double>(units);
}

double ChanceOfOne(double kinds, int64_t slots) {
  return 1 - std::pow(1 - 1 / kinds, static_cast<double>(slots));
}

int64_t TailLength(const std::vector<RulerQuestion>& questions) {
  int64_t length = 0;
  for (const RulerQuestion& question : questions) {
    length +=
        static_cast<int64_t>(question.prompt.size() + question.answer.size());
  }
  return length;
}

}  // namespace rattn
