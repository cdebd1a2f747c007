#include "tasks/sample.h"

#include <algorithm>
#include <numeric>

namespace rattn {

Batch ToBatch(const std::vector<Sample>& samples) {
  Batch batch;
  batch.rows = static_cast<int64_t>(samples.size());
  for (const Sample& sample : samples) {
    batch.length = std::max<int64_t>(batch.length, sample.tokens.size());
  }
  batch.tokens.assign(batch.rows * batch.length, 0);
  batch.targets.assign(batch.rows * batch.length, kNoTarget);
  for (size_t row = 0; row < samples.size(); ++row) {
    const int64_t base = static_cast<int64_t>(row) * batch.length;
    std::copy(samples[row].tokens.begin(), samples[row].tokens.end(),
              batch.tokens.begin() + base);
    for (const Label& label : samples[row].labels) {
      batch.targets[base + label.position] = label.target;
    }
  }
  return batch;
}

PhiloxSequence TaskStream(uint64_t seed, Purpose purpose, int64_t index) {
  return PhiloxSequence(seed, static_cast<uint64_t>(purpose) << 56 |
                                  static_cast<uint64_t>(index));
}

std::vector<int64_t> DrawDistinct(int64_t n, int64_t count,
                                  PhiloxSequence* random) {
  std::vector<int64_t> items(n);
  std::iota(items.begin(), items.end(), 0);
  for (int64_t i = 0; i < count; ++i) {
    std::swap(items[i], items[i + random->Below(n - i)]);
  }
  items.resize(count);
  return items;
}

std::vector<int64_t> DrawStarts(int64_t room, int64_t count, int64_t width,
                                PhiloxSequence* random) {
  // Pieces shrunk to one place each are distinct places of a shorter room.
  std::vector<int64_t> starts =
      DrawDistinct(room - count * (width - 1), count, random);
  std::sort(starts.begin(), starts.end());
  for (int64_t i = 0; i < count; ++i) starts[i] += i * (width - 1);
  return starts;
}

}  // namespace rattn
