// MMLU-style questions (Hendrycks et al. 2021, "Measuring Massive Multitask
// Language Understanding") about a generated world. Training rows are headers
// of a subject followed by either statements of its trained facts or questions
// with answers in MMLU's layout; the loss is on the values and the letters.
// Evaluation asks k-shot questions and compares the logits of the four letters,
// the first wins a tie. Its option orders never occur in training. Facts held
// out of training are the control: nothing but guessing answers them, so more
// than chance there means a leak.
//
// Scores (fractions; standard errors over facts; samples questions of either
// kind of fact): accuracy (trained facts, each question counts the same:
// MMLU's micro average), accuracy.macro (each subject counts the same),
// accuracy.held_out, accuracy.subject.NAME.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "tasks/facts_world.h"
#include "tasks/task.h"

namespace rattn {

struct FactsParams {
  FactsWorldParams world;
  int64_t shots = 2;
  int64_t train_length = 64;
  double question_share = 0.5;
  int64_t seed = 0;
};

template <typename Visitor>
void VisitFields(Visitor& visit, FactsParams& p) {
  VisitFields(visit, p.world);
  visit.Optional("shots", p.shots,
                 "answered questions before an evaluated one; an evaluation "
                 "length asks for as many as fit");
  visit.Optional("train_length", p.train_length, "tokens of a training row");
  visit.Optional("question_share", p.question_share,
                 "share of training rows that hold questions");
  visit.Optional("seed", p.seed, "of the training data");
}

std::unique_ptr<Task> MakeFacts(const std::string& params_json);

}  // namespace rattn
