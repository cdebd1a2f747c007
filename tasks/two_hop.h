// Recall over one and two hops beside a purely local question: the project's
// recipe for telling windows and memories apart with models of 100k parameters.
//
// A sequence of `length` tokens, n chains, section lengths R and K, gap G:
//   R  n root statements [DEF_root][VAL], the rest noise
//   G  noise; the last `local_labels` places ask for the token
//      `local_distance` places back (tag L)
//   K  n link statements [DEF_link][REF_root], the rest noise; at REF_root the
//      root's value is asked for (tag link1, one hop)
//   G  noise with the same local questions
//   2n queries REF_name in random order: a root's value (Q1, one hop), the
//      value of the root that a link points to (Q2, two hops)
// Answers are never written into the sequence. Longer sequences have longer
// sections R and K with the same statements in them.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "tasks/task.h"

namespace rattn {

struct TwoHopParams {
  int64_t names = 12;
  int64_t values = 8;
  int64_t noise = 8;  // distinct noise tokens
  int64_t chains = 4;
  int64_t section = 16;  // tokens of R and of K in training
  int64_t gap = 8;
  int64_t local_labels = 5;
  int64_t local_distance = 3;
  int64_t vocab_size = 48;  // ids above those in use never occur
  int64_t seed = 0;         // of the training data
};

template <typename Visitor>
void VisitFields(Visitor& visit, TwoHopParams& p) {
  visit.Optional("names", p.names, "distinct names");
  visit.Optional("values", p.values, "distinct values");
  visit.Optional("noise", p.noise, "distinct noise tokens");
  visit.Optional("chains", p.chains, "root and link statements");
  visit.Optional("section", p.section, "tokens of each section in training");
  visit.Optional("gap", p.gap, "noise tokens after each section");
  visit.Optional("local_labels", p.local_labels, "local questions per gap");
  visit.Optional("local_distance", p.local_distance,
                 "places back that a local question asks for");
  visit.Optional("vocab_size", p.vocab_size, "token ids, some may be unused");
  visit.Optional("seed", p.seed, "of the training data");
}

enum class TwoHopTag : int32_t { kLocal, kLink, kRootQuery, kLinkQuery };

// Token ids of a parameter set.
struct TwoHopVocab {
  explicit TwoHopVocab(const TwoHopParams& params);
  int32_t def0, ref0, value0, noise0, used;
  std::string Word(int32_t token) const;
};

// Sequence lengths of the parts at `length`; R is the shorter if they differ.
struct TwoHopLayout {
  int64_t r = 0, k = 0, gap = 0, queries = 0;
};
// Throws UserError that names the least possible length.
TwoHopLayout MakeTwoHopLayout(const TwoHopParams& params, int64_t length);

// Share of the questions of `tag` whose every needed token lies within
// `window_keys` keys of the place that reads it, hop by hop (a link query reads
// its link, which has read its root): what a perfect model of window attention
// without relays over noise can know. It scores h + (1 - h) / chains if it
// guesses among the values present otherwise. Exact.
double TwoHopReach(const TwoHopParams& params, TwoHopTag tag, int64_t length,
                   int64_t window_keys);

std::unique_ptr<Task> MakeTwoHop(const std::string& params_json);

}  // namespace rattn
