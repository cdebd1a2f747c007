// Training data as the trainer sees it. Free of LibTorch: tasks implement it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace rattn {

inline constexpr int32_t kNoTarget = -1;

// Row-major [rows, length]. Rows shorter than `length` are padded at the end
// with token 0; masks are causal, so padding never changes what stands before.
struct Batch {
  int64_t rows = 0;
  int64_t length = 0;
  std::vector<int32_t> tokens;
  // Token that the model is to predict AT this position (already shifted where
  // the task is next-token prediction); kNoTarget where nothing is scored.
  std::vector<int32_t> targets;
};

class BatchSource {
 public:
  virtual ~BatchSource() = default;
  // Batch of step `step` (0-based): a pure function of the source's seed and
  // the step, so that a resumed run sees the same data.
  virtual Batch TrainBatch(int64_t step, int64_t rows) const = 0;
  virtual int64_t vocab_size() const = 0;
  // Hash of everything that determines the data; part of a product's key.
  virtual std::string Fingerprint() const = 0;
};

}  // namespace rattn
