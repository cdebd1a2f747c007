// Generators of RULER-style texts (Hsieh et al. 2024, "RULER: What's the Real
// Context Size of Your Long-Context Language Models?", NVIDIA/RULER) over a
// small vocabulary. A needle "the magic number for KEY is VALUE" is here
// [KEY][VALUE], an assignment "VAR B = VAR A" is [A][B].
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "models/json_fields.h"
#include "tasks/ruler_vocab.h"
#include "tasks/sample.h"

namespace rattn {

using Tokens = std::vector<int32_t>;

struct RulerQuestion {
  Tokens prompt;
  Tokens answer;                   // what is trained on, in its one order
  std::vector<Tokens> references;  // what must occur in a prediction
  std::optional<double> depth;     // percent: where the first reference stands
};

struct RulerText {
  Tokens haystack;
  std::vector<RulerQuestion> questions;
};

struct RulerRequest {
  int64_t length = 0;  // haystack, questions and answers together, exactly
  int64_t questions = 1;
  std::optional<double> depth;  // percent, of the first question; else uniform
  // Training texts hold fewer distractors than fit, uniformly many: with all
  // of them from the start, lookups by two tokens are not learned.
  bool thin_distractors = false;
};

class RulerGenerator {
 public:
  virtual ~RulerGenerator() = default;
  // Questions that one text can be asked, however long.
  virtual int64_t most_questions() const = 0;
  // Tokens that a text with so many questions needs at least.
  virtual int64_t LeastLength(int64_t questions) const = 0;
  // request.length >= LeastLength(request.questions) and request.questions <=
  // most_questions().
  virtual RulerText Make(const RulerRequest& request,
                         PhiloxSequence* random) const = 0;
  // Expected score, as a fraction, of answers drawn uniformly from the kind of
  // token that answers are made of.
  virtual double Chance() const = 0;
  // One reference is enough (RULER's string_match_part); else the score is the
  // share of them (string_match_all).
  virtual bool any_reference() const { return false; }
};

struct RulerKind {
  std::string_view name;
  std::string_view summary;
  // `json` holds the parameters that differ from the task's own; messages name
  // them with `origin` and `path`.
  std::unique_ptr<RulerGenerator> (*make)(const RulerVocab& vocab,
                                          const Json& json,
                                          const std::string& origin,
                                          const std::string& path);
};

// RULER's tasks in its order, `qa` standing for qa_1 and qa_2.
std::span<const RulerKind> RulerKinds();
// The kinds of one file each.
std::span<const RulerKind> NiahKinds();
std::span<const RulerKind> TraceKinds();
std::span<const RulerKind> WordKinds();
std::span<const RulerKind> QaKinds();

// `count` words: a repeated sentence of `sentence` words, or random ones.
Tokens RepeatedNoise(const RulerVocab& vocab, int64_t count, int64_t sentence);
Tokens RandomNoise(const RulerVocab& vocab, int64_t count,
                   PhiloxSequence* random);

// The units with piece i before unit places[i]; pieces of one place keep their
// order.
Tokens InsertPieces(const std::vector<Tokens>& units,
                    const std::vector<Tokens>& pieces,
                    const std::vector<int64_t>& places);
std::vector<Tokens> SingleTokens(const Tokens& tokens);
// Unit that a depth in percent stands before, as RULER: floor(units * depth).
int64_t PlaceAtDepth(int64_t units, double depth);
double DepthOfPlace(int64_t units, int64_t place);

// Chance that one token string occurs in one of `slots` places filled with
// strings drawn from `kinds` equally likely ones.
double ChanceOfOne(double kinds, int64_t slots);

// Tokens of the questions and answers.
int64_t TailLength(const std::vector<RulerQuestion>& questions);

}  // namespace rattn
