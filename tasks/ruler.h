// RULER-style evaluation: each task by its own name, and `ruler`, the mixture
// of all of them, trained on together and scored one by one.
//
// A row is haystack, then questions each with its answer; the loss is on the
// answers. Training rows ask up to `train_questions` questions of one text,
// evaluated ones a single question, RULER's way: `length` counts the answer.
// Scores are percentages as in RULER: the share of references that occur in
// the predicted tokens (string_match_all), or whether any does (qa,
// string_match_part). Evaluation draws options.samples texts for every task.
//
// How predictions come about ("scoring"):
//   greedy    free-running, in batches: exactly what generation gives, but an
//             answer that the model gets right costs one forward
//   generate  through LanguageModel::Generate, its caches, one text at a time
//   teacher   every answer token predicted after the right ones: cheapest, but
//             forgives an early mistake, so it is no RULER score
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tasks/ruler_generator.h"
#include "tasks/ruler_vocab.h"
#include "tasks/task.h"

namespace rattn {

struct RulerParams {
  int64_t train_length = 64;
  int64_t train_questions = 4;
  bool thin_distractors = true;
  RulerVocabParams vocabulary;
  int64_t seed = 0;
  std::string scoring = "greedy";
  std::optional<double> depth;
};

template <typename Visitor>
void VisitFields(Visitor& visit, RulerParams& p) {
  visit.Optional("train_length", p.train_length, "tokens of a training row");
  visit.Optional("train_questions", p.train_questions,
                 "questions of a training row, at most");
  visit.Optional("thin_distractors", p.thin_distractors,
                 "training rows hold a random number of distractors");
  visit.Optional("vocabulary", p.vocabulary, "counts of words");
  visit.Optional("seed", p.seed, "of the training data");
  visit.Optional("scoring", p.scoring, "greedy, generate or teacher");
  visit.Optional("depth", p.depth,
                 "evaluated needle or document stands at this percentage");
}

struct RulerMember {
  std::string name;
  double weight = 1;  // share of the training rows
  std::unique_ptr<RulerGenerator> generator;
};

class RulerTask : public Task {
 public:
  // `identity` is everything that determines the training data.
  RulerTask(std::string name, RulerParams params,
            std::unique_ptr<RulerVocab> vocab, std::vector<RulerMember> members,
            const Json& identity);

  std::string_view name() const override { return name_; }
  int64_t train_length() const override { return params_.train_length; }
  int64_t vocab_size() const override { return vocab_->size(); }
  std::string Fingerprint() const override { return fingerprint_; }
  Batch TrainBatch(int64_t step, int64_t rows) const override;
  EvalResult Evaluate(const LanguageModel& model,
                      const EvalOptions& options) const override;
  std::string Show(uint64_t seed, int64_t index, int64_t length) const override;

  const RulerVocab& vocab() const { return *vocab_; }
  const std::vector<RulerMember>& members() const { return members_; }
  // Text `index` of a member for evaluation, exactly `length` tokens with its
  // one question and answer.
  RulerText EvalText(const RulerMember& member, uint64_t seed, int64_t index,
                     int64_t length) const;

 private:
  Sample TrainSample(int64_t index) const;
  int64_t LengthOf(int64_t length) const;

  std::string name_;
  RulerParams params_;
  std::unique_ptr<RulerVocab> vocab_;
  std::vector<RulerMember> members_;
  double total_weight_ = 0;
  std::string fingerprint_;
};

// Share of the references (or 1 if any) that occur in `predicted`.
double RulerScore(const Tokens& predicted,
                  const std::vector<Tokens>& references, bool any);

// The mixture. Parameters beside RulerParams: "tasks" (names; all if absent),
// "weights" (name to number) and "overrides" (name to that task's parameters).
std::unique_ptr<Task> MakeRuler(const std::string& params_json);
// One task of RulerKinds(); its parameters stand beside RulerParams'.
std::unique_ptr<Task> MakeRulerTask(std::string_view kind,
                                    const std::string& params_json);

}  // namespace rattn
