// Tests only: owns the tensors of a Problem, filled from counter-based random
// numbers.
#pragma once

#include <cmath>
#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/backend.h"
#include "kernels/catalog.h"
#include "kernels/kv_cache.h"
#include "kernels/random.h"

namespace rattn {

inline Shape MakeShape(int64_t batch, int64_t query_heads, int64_t kv_heads,
                       int64_t query_len, int64_t key_len, int64_t head_dim,
                       int64_t value_dim) {
  return {.batch = batch,
          .query_heads = query_heads,
          .kv_heads = kv_heads,
          .query_len = query_len,
          .key_len = key_len,
          .head_dim = head_dim,
          .value_dim = value_dim};
}

struct TestOptions {
  bool norms = true;
  bool sink_logit = false;
  bool initial_state = false;
  bool separate_memory = false;  // q_memory and k_memory
  double scale = 1;              // of the normal values of q and k
};

class TestTensors {
 public:
  TestTensors(const Problem& problem, const TestOptions& options, uint64_t seed)
      : problem_(problem), seed_(seed) {
    const Shape& s = problem.shape;
    const bool local = HasLocal(problem.spec), memory = HasMemory(problem.spec);
    const Axes q = {s.batch, s.query_len, s.query_heads, s.head_dim};
    const Axes k = {s.batch, s.key_len, s.kv_heads, s.head_dim};
    const Axes v = {s.batch, s.key_len, s.kv_heads, s.value_dim};
    const Axes o = {s.batch, s.query_len, s.query_heads, s.value_dim};
    const Axes row = {s.batch, s.query_len, s.query_heads, 1};
    const Axes norm = {1, 1, s.query_heads, s.value_dim};
    const Axes sink = {1, 1, 1, s.query_heads};
    const Axes state = {SequenceCount(problem), StateHeads(problem),
                        FeatureDim(problem), s.value_dim};
    Buffers& b = buffers;
    b.q = Random(q, problem.dtype, options.scale);
    b.k = Random(k, problem.dtype, options.scale);
    b.v = Random(v, problem.dtype);
    b.d_o = Random(o, problem.dtype);
    b.o = Zeros(o, problem.dtype);
    b.dq = Zeros(q, problem.dtype);
    b.dk = Zeros(k, problem.dtype);
    b.dv = Zeros(v, problem.dtype);
    b.o_local = Zeros(o, wide());
    b.o_memory = Zeros(o, wide());
    if (options.norms && UsesNorms(problem.spec)) {
      b.norm_local = Random(norm, wide());
      b.norm_memory = Random(norm, wide());
      b.d_norm_local = Zeros(norm, wide());
      b.d_norm_memory = Zeros(norm, wide());
    }
    if (local) {
      b.lse = Zeros(row, wide());
      b.max_logits = Zeros(row, wide());
    }
    if (local && options.sink_logit) {
      b.sink_logit = Random(sink, wide());
      b.d_sink_logit = Zeros(sink, wide());
    }
    if (!memory) return;
    b.final_state = Zeros(state, wide());
    b.d_final_state = Random(state, wide());
    if (options.initial_state) {
      b.initial_state = Random(state, wide());
      b.d_initial_state = Zeros(state, wide());
    }
    if (options.separate_memory) {
      b.q_memory = Random(q, problem.dtype, options.scale);
      b.k_memory = Random(k, problem.dtype, options.scale);
      b.dq_memory = Zeros(q, problem.dtype);
      b.dk_memory = Zeros(k, problem.dtype);
    }
  }
  TestTensors(const TestTensors&) = delete;
  TestTensors& operator=(const TestTensors&) = delete;

  Dtype wide() const {
    return problem_.dtype == Dtype::kF64 ? Dtype::kF64 : Dtype::kF32;
  }

  TensorView Zeros(std::array<int64_t, 4> shape, Dtype dtype) {
    TensorView view = Contiguous(nullptr, dtype, shape);
    storage_.emplace_back(static_cast<size_t>(view.NumElements()));
    view.data = storage_.back().data();
    return view;
  }
  TensorView Random(std::array<int64_t, 4> shape, Dtype dtype,
                    double scale = 1) {
    const TensorView view = Zeros(shape, dtype);
    const Philox philox(seed_, next_stream_++);
    for (int64_t i = 0; i < view.NumElements(); ++i) {
      SetFlat(view, i, scale * philox.Normal(static_cast<uint64_t>(i)));
    }
    return view;
  }

  // Element i of a contiguous view.
  static double GetFlat(const TensorView& view, int64_t i) {
    return TensorView{view.data, view.dtype, {}, {0, 0, 0, 1}}.Get(0, 0, 0, i);
  }
  static void SetFlat(const TensorView& view, int64_t i, double x) {
    TensorView{view.data, view.dtype, {}, {0, 0, 0, 1}}.Set(0, 0, 0, i, x);
  }
  static std::vector<double> Flat(const TensorView& view) {
    std::vector<double> out;
    for (int64_t i = 0; view && i < view.NumElements(); ++i) {
      out.push_back(GetFlat(view, i));
    }
    return out;
  }

  Buffers buffers;

 private:
  using Axes = std::array<int64_t, 4>;
  const Problem& problem_;
  uint64_t seed_;
  uint64_t next_stream_ = 0;
  // fp64 elements, so that any dtype fits and nothing moves.
  std::deque<std::vector<double>> storage_;
};

// Runs a phase with a workspace of exactly the size that the backend asks for.
inline void RunForward(const Backend& backend, const Problem& problem,
                       const Buffers& buffers) {
  const AlignedBuffer bytes(backend.WorkspaceBytes(problem));
  backend.Forward(problem, buffers, {bytes.data(), bytes.size()});
}
inline void RunBackward(const Backend& backend, const Problem& problem,
                        const Buffers& buffers) {
  const AlignedBuffer bytes(backend.WorkspaceBytes(problem));
  backend.Backward(problem, buffers, {bytes.data(), bytes.size()});
}

// A view of `count` rows of axis 1 from `begin`; absent views stay absent.
inline TensorView Tokens(TensorView view, int64_t begin, int64_t count) {
  if (!view) return view;
  view.data =
      static_cast<std::byte*>(view.data) +
      begin * view.stride[1] * static_cast<int64_t>(ByteSize(view.dtype));
  view.shape[1] = count;
  return view;
}

// Runs the whole sequence of `problem` through a cache, in pieces of the given
// lengths (repeated), starting from buffers.initial_state. The cache ends in
// the host's memory.
inline KvCache RunExtend(const Backend& backend, Problem problem,
                         Buffers buffers, const std::vector<int64_t>& pieces,
                         bool separate_memory_keys) {
  const int64_t length = problem.shape.key_len;
  KvCache cache(problem, separate_memory_keys);
  if (buffers.initial_state) {
    for (int64_t i = 0; i < cache.state().NumElements(); ++i) {
      TestTensors::SetFlat(cache.state(), i,
                           TestTensors::GetFlat(buffers.initial_state, i));
    }
  }
  cache.MoveTo(backend.cache_allocator());
  buffers.initial_state = buffers.final_state = {};
  for (int64_t at = 0, piece = 0; at < length; ++piece) {
    const int64_t count = std::min(
        pieces[static_cast<size_t>(piece) % pieces.size()], length - at);
    problem.phase = count == 1 ? Phase::kDecode : Phase::kExtend;
    problem.shape.query_len = problem.shape.key_len = count;
    Buffers part = buffers;
    for (TensorView Buffers::*tensor :
         {&Buffers::q, &Buffers::k, &Buffers::v, &Buffers::q_memory,
          &Buffers::k_memory, &Buffers::o, &Buffers::lse, &Buffers::max_logits,
          &Buffers::o_local, &Buffers::o_memory}) {
      part.*tensor = Tokens(buffers.*tensor, at, count);
    }
    cache.Reserve(count);
    const AlignedBuffer bytes(backend.WorkspaceBytes(problem));
    backend.Extend(problem, part, cache, {bytes.data(), bytes.size()});
    at += count;
  }
  cache.MoveTo(HostAllocator());
  cache.AbsorbPending();
  return cache;
}

// sqrt(sum (a - b)^2 / sum b^2); without the division where b is zero.
inline double RelativeRms(const std::vector<double>& a,
                          const std::vector<double>& b) {
  double error = 0, norm = 0;
  for (size_t i = 0; i < b.size(); ++i) {
    if (a[i] == b[i]) continue;  // infinities of empty rows
    error += (a[i] - b[i]) * (a[i] - b[i]);
  }
  for (double x : b) norm += std::isfinite(x) ? x * x : 0;
  return std::sqrt(
      error /
      (norm > 0 ? norm : static_cast<double>(std::max<size_t>(b.size(), 1))));
}

// The spec of a catalog entry with a window where it takes one.
inline MixerSpec TestSpec(const Variant& variant, int64_t window_keys) {
  MixerSpec spec;
  std::string reason;
  MakeSpec(variant, {.window_keys = variant.takes_window ? window_keys : 0},
           &spec, &reason);
  return spec;
}

}  // namespace rattn
