// One kernel call on random inputs, ready to be repeated: the subject of
// kernel cells and of `rattn bench`.
#pragma once

#include <cstdint>
#include <vector>

#include "harness/tensor.h"
#include "kernels/backend.h"
#include "kernels/problem.h"

namespace rattn {

struct KernelCase {
  Problem problem;      // query_len = key_len = new tokens
  int64_t context = 0;  // tokens in the cache before; 0 without a cache
  uint64_t seed = 0;
  bool separate_keys = false;  // the memory's keys in a ring of their own
};

inline bool UsesCache(Phase phase) {
  return phase == Phase::kExtend || phase == Phase::kDecode;
}

// Tensors of a case. q, k, v cover the cached tokens too.
struct KernelInputs {
  explicit KernelInputs(const KernelCase& kernel);
  Tensor q, k, v, d_o;
};

// Least memory of a call, in bytes: its inputs, outputs and gradients. A
// double, since impossible shapes have impossible sizes.
double LeastBytes(const KernelCase& kernel);

class KernelCall {
 public:
  // `inputs` must outlive the call. With `caches` > 1 (cached phases) repeated
  // calls go round that many caches, so that none is warm. Throws
  // std::bad_alloc.
  KernelCall(const KernelCase& kernel, const Backend& backend,
             const KernelInputs& inputs, int64_t caches = 1);

  // Forward; in kTrain also Backward; in cached phases Extend, after which the
  // cache is set back to `context` tokens, so that calls are alike.
  void Run();

  // Calls after which costs repeat: a deferred state is written now and then.
  int64_t Period() const;
  const Buffers& buffers() const { return buffers_; }
  // That the next Run() works on; null without one.
  const KvCache* cache() const {
    return caches_.empty() ? nullptr : &caches_[next_cache_];
  }
  // Bytes of one cache; 0 without one.
  size_t CacheBytes() const;

 private:
  void MakeOutputs();
  void Prefill();
  void CopyCache(int64_t copies);

  KernelCase kernel_;
  const Backend& backend_;
  const KernelInputs& inputs_;
  Buffers buffers_;
  std::vector<Tensor> owned_;
  std::vector<KvCache> caches_;
  size_t next_cache_ = 0;
  AlignedBuffer workspace_;
};

}  // namespace rattn
