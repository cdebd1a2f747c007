// What every generated task is made of: sequences with scored places, and the
// random draws behind them.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "kernels/random.h"
#include "models/batch_source.h"

namespace rattn {

// The model is to predict `target` AT `position`. `tag` is the task's own.
struct Label {
  int64_t position = 0;
  int32_t target = 0;
  int32_t tag = 0;
};

struct Sample {
  std::vector<int32_t> tokens;
  std::vector<Label> labels;
};

// Rows padded to the longest sample.
Batch ToBatch(const std::vector<Sample>& samples);

// Streams of one seed never meet: what is trained on is never evaluated on
// because of an equal draw.
enum class Purpose : uint64_t { kTrain = 1, kEval = 2, kWorld = 3 };
PhiloxSequence TaskStream(uint64_t seed, Purpose purpose, int64_t index);

// `count` distinct values of [0, n) in random order; count <= n.
std::vector<int64_t> DrawDistinct(int64_t n, int64_t count,
                                  PhiloxSequence* random);

// Starts (ascending) of `count` non-overlapping pieces of `width` tokens in
// `room` places, uniform over all such choices; count * width <= room.
std::vector<int64_t> DrawStarts(int64_t room, int64_t count, int64_t width,
                                PhiloxSequence* random);

template <typename T>
void Shuffle(std::vector<T>* items, PhiloxSequence* random) {
  for (size_t i = items->size(); i > 1; --i) {
    std::swap((*items)[i - 1], (*items)[random->Below(i)]);
  }
}

}  // namespace rattn
