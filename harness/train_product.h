// Trains what a train cell asks for, or finds it trained.
#pragma once

#include <string>

#include "harness/cell_kinds.h"
#include "harness/products.h"

namespace rattn {

struct TrainedProduct {
  std::string name;  // hash
  std::string checkpoint;
  bool reused = false;
  // loss, seconds, tokens_per_s, parameters, resumed_from, loss_curve of the
  // process that finished the training.
  Json result;
};

// Model, options and execution of a train or eval cell's values.
TrainingSpec TrainingOf(const Json& values);
std::vector<std::string> TaskNames();

// Throws RunError if stopped on the way (the checkpoint then holds the way so
// far).
TrainedProduct TrainProduct(const TrainingSpec& training, const Task& task,
                            const CellContext& context);

}  // namespace rattn
