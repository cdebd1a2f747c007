#include "kernels/cpu/cache_step.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "kernels/cpu/softmax_attention.h"

namespace rattn {
namespace {

// [B, T, H, D] whose rows of one head are contiguous.
TensorView TakeRows(int64_t batch, int64_t length, int64_t heads, int64_t dim,
                    Arena* arena) {
  return {arena->Take<float>(batch * length * heads * dim),
          Dtype::kF32,
          {batch, length, heads, dim},
          {heads * length * dim, dim, length * dim, 1}};
}

bool ReadsDelayed(const MixerSpec& spec) {
  return HasMemory(spec) && MemoryDelay(spec) > 0;
}

const TensorView& MemoryKeys(const Buffers& buffers) {
  return buffers.k_memory ? buffers.k_memory : buffers.k;
}

// Copies of one token per sequence are not worth a team.
int CopyThreads(const Problem& problem) {
  return problem.shape.query_len == 1 ? 1 : problem.threads;
}

Problem OnCopyThreads(Problem problem) {
  problem.threads = CopyThreads(problem);
  return problem;
}

void WidenCacheRow(const void* row, Dtype dtype, int64_t n, float* out) {
  if (dtype == Dtype::kBF16) {
    std::transform(static_cast<const Bf16*>(row),
                   static_cast<const Bf16*>(row) + n, out, ToFloat);
  } else {
    std::copy_n(static_cast<const float*>(row), n, out);
  }
}

// One row of a view, rounded to the cache's dtype.
template <typename From>
void StoreCacheRow(const From* from, int64_t stride, int64_t dim, Dtype dtype,
                   void* to) {
  for (int64_t i = 0; i < dim; ++i) {
    const From x = from[i * stride];
    if constexpr (sizeof(From) == sizeof(Bf16)) {
      static_cast<Bf16*>(to)[i] = x;
    } else if (dtype == Dtype::kBF16) {
      static_cast<Bf16*>(to)[i] = ToBf16(x);
    } else {
      static_cast<float*>(to)[i] = x;
    }
  }
}

void StoreCacheRow(const TensorView& view, int64_t b, int64_t t, int64_t h,
                   Dtype dtype, void* to) {
  if (view.dtype == dtype && view.stride[3] == 1) {
    const auto* from = static_cast<const std::byte*>(view.data);
    const size_t size = ByteSize(dtype);
    std::memcpy(to, from + view.Offset(b, t, h) * size, view.shape[3] * size);
  } else if (view.dtype == Dtype::kBF16) {
    StoreCacheRow(view.Row<const Bf16>(b, t, h), view.stride[3], view.shape[3],
                  dtype, to);
  } else {
    StoreCacheRow(view.Row<const float>(b, t, h), view.stride[3], view.shape[3],
                  dtype, to);
  }
}

// The new tokens, `keys` as the local branch reads them, into their slots. Of
// the tokens that share a ring slot only the last is written.
void WriteTokens(const Problem& problem, const Buffers& buffers,
                 const TensorView& keys, const KvCache& cache) {
  if (!cache.has_keys()) return;
  const Shape& shape = problem.shape;
  const int64_t begin = cache.length();
  const int64_t end = begin + shape.query_len;
  const int64_t oldest =
      cache.ring_slots() > 0 ? end - cache.ring_slots() : begin;
  ParallelFor(CopyThreads(problem), shape.batch * shape.kv_heads,
              [&](int64_t task, int) {
                const int64_t b = task / shape.kv_heads;
                const int64_t h = task % shape.kv_heads;
                for (int64_t p = begin; p < end; ++p) {
                  if (p < oldest && p >= cache.sinks()) continue;
                  const int64_t t = p - begin;
                  StoreCacheRow(keys, b, t, h, problem.dtype,
                                cache.Key(b, h, p));
                  StoreCacheRow(buffers.v, b, t, h, problem.dtype,
                                cache.Value(b, h, p));
                  if (cache.separate_memory_keys()) {
                    StoreCacheRow(MemoryKeys(buffers), b, t, h, problem.dtype,
                                  cache.MemoryKey(b, h, p));
                  }
                }
              });
}

// Tokens that still wait to be absorbed, widened, keys as the memory reads
// them. Turning a key back is the default: a second ring of keys is half as
// many bytes again beside the window, and saves 7 % of a cold step with RoPE
// (rattention, batch 8, 4 KV heads, D 128, W 512, AVX-512, two threads: 303 us
// recovered, 282 kept). `count` of them from position `first` into rows 0 ..
// count-1.
void LoadWaiting(const Problem& problem, const KvCache& cache, int64_t first,
                 int64_t count, const RopeScratch& rope, const TensorView& k,
                 const TensorView& v) {
  const Shape& shape = problem.shape;
  const bool separate = cache.separate_memory_keys();
  ParallelFor(CopyThreads(problem), shape.batch * shape.kv_heads,
              [&](int64_t task, int) {
                const int64_t b = task / shape.kv_heads;
                const int64_t h = task % shape.kv_heads;
                for (int64_t t = 0; t < count; ++t) {
                  const void* key = separate ? cache.MemoryKey(b, h, first + t)
                                             : cache.Key(b, h, first + t);
                  const void* value = cache.Value(b, h, first + t);
                  WidenCacheRow(key, problem.dtype, shape.head_dim,
                                k.Row<float>(b, t, h));
                  WidenCacheRow(value, problem.dtype, shape.value_dim,
                                v.Row<float>(b, t, h));
                }
              });
  if (count == 0 || separate || !HasLocal(problem.spec) || !rope.table) return;
  FillRope(problem, rope);
  TensorView rows = k;
  rows.shape[1] = count;
  RotateRows(OnCopyThreads(problem), rows, rope.table, -1, rows);
}

// Workspace of one call. `waiting` counts the tokens in the cache that the
// memory has yet to absorb and that this call looks at.
struct StepScratch {
  StepScratch(const Problem& problem, const Buffers& buffers, int64_t length,
              int64_t waiting, Arena* arena) {
    const Shape& shape = problem.shape;
    if (HasLocal(problem.spec)) {
      local = TakeLocal(problem, buffers, length, arena);
    }
    if (!ReadsDelayed(problem.spec)) return;
    const int64_t rows = waiting + (shape.query_len > 1 ? shape.query_len : 0);
    k = TakeRows(shape.batch, rows, shape.kv_heads, shape.head_dim, arena);
    v = TakeRows(shape.batch, rows, shape.kv_heads, shape.value_dim, arena);
    if (waiting > 0) {
      const int64_t first =
          length - std::min(length, MemoryDelay(problem.spec));
      waiting_rope = TakeRope(problem, first, waiting, arena);
    }
  }

  PreparedLocal local;
  TensorView k, v;
  RopeScratch waiting_rope;
};

// The memory's own problem: `waiting` tokens of the cache, then the new ones.
Problem MemoryProblem(const Problem& problem, int64_t waiting) {
  Problem memory = problem;
  memory.phase = Phase::kExtend;
  memory.shape.key_len = waiting + problem.shape.query_len;
  return memory;
}

int64_t MostWaiting(const Problem& problem) {
  if (!ReadsDelayed(problem.spec)) return 0;
  return problem.shape.query_len == 1 ? 1 : MemoryDelay(problem.spec);
}

class Step {
 public:
  Step(const Problem& problem, const Buffers& buffers, KvCache& cache,
       Workspace workspace)
      : problem_(problem),
        buffers_(buffers),
        cache_(cache),
        length_(cache.length()),
        delay_(MemoryDelay(problem.spec)),
        waiting_(Waiting()),
        arena_(workspace.data),
        scratch_(problem, buffers, length_, waiting_, &arena_),
        rest_(arena_.Rest(workspace)) {}

  void Extend(TensorView local_out, TensorView memory_out) {
    if (local_out) {
      LocalInputs in = PrepareLocal();
      SoftmaxForward(in, {local_out, buffers_.lse, buffers_.max_logits}, rest_);
    }
    if (memory_out) {
      cache_.AbsorbPending();
      ExtendMemory(memory_out);
    }
    WriteTokens(problem_, buffers_, LocalKeys(), cache_);
  }

  // The evicted token is taken out before its slot is overwritten. Everything
  // else is one list of tasks, so that threads meet once: states first, which
  // take longer than a part of a window.
  void Decode(TensorView local_out, TensorView memory_out) {
    if (waiting_ > 0) {
      LoadWaiting(problem_, cache_, length_ - delay_, 1, scratch_.waiting_rope,
                  scratch_.k, scratch_.v);
    }
    LocalInputs in;
    if (local_out) in = PrepareLocal();
    WriteTokens(problem_, buffers_, LocalKeys(), cache_);
    Arena arena(rest_.data);
    DecodeJob windows;
    if (local_out) {
      in.k.begin = in.v.begin = length_ + 1;
      arena.Take<std::byte>(static_cast<int64_t>(SoftmaxDecodeBytes(problem_)));
      windows =
          MakeDecode(in, {local_out, buffers_.lse, buffers_.max_logits}, rest_);
    }
    MemoryStepJob states;
    if (memory_out) states = MemoryJob(memory_out, arena.Rest(rest_));
    const int64_t first = memory_out ? states.tasks() : 0;
    ParallelFor(problem_.threads, first + windows.tasks(),
                [&](int64_t task, int thread) {
                  if (task < first) {
                    RunMemoryStep(states, task, thread);
                  } else {
                    RunDecode(windows, task - first, thread);
                  }
                });
    if (local_out) FinishDecode(windows);
    if (states.k) {
      cache_.SetPending(states.state.absorb ? 0 : cache_.pending() + 1);
    }
  }

 private:
  MemoryStepJob MemoryJob(const TensorView& out, Workspace workspace) const {
    TensorView k = MemoryKeys(buffers_);
    TensorView v = buffers_.v;
    if (delay_ > 0) {
      k = waiting_ > 0 ? scratch_.k : TensorView{};
      v = waiting_ > 0 ? scratch_.v : TensorView{};
    }
    const bool absorb = cache_.pending() + 1 >= cache_.absorb_every();
    return {MemoryProblem(problem_, 0),
            buffers_,
            k,
            v,
            {cache_.state(), cache_.key_sum(), cache_.pending_rows(),
             cache_.pending(), absorb},
            out,
            workspace};
  }

  // Decode only looks at the token that its own slot takes the place of.
  int64_t Waiting() const {
    if (!ReadsDelayed(problem_.spec)) return 0;
    if (problem_.shape.query_len == 1) return length_ >= delay_ ? 1 : 0;
    return std::min(length_, delay_);
  }

  LocalInputs PrepareLocal() {
    FillLocal(OnCopyThreads(problem_), buffers_, scratch_.local);
    LocalInputs in = scratch_.local.inputs;
    in.k.cache = in.v.cache = &cache_;
    in.k.cache_dtype = in.v.cache_dtype = problem_.dtype;
    return in;
  }

  const TensorView& LocalKeys() const {
    return HasLocal(problem_.spec) ? scratch_.local.inputs.k.view : buffers_.k;
  }

  void ExtendMemory(TensorView memory_out) {
    Buffers memory = buffers_;
    memory.k = MemoryKeys(buffers_);
    memory.k_memory = {};
    if (delay_ > 0) {
      // Only what this call absorbs is taken out of the ring.
      const int64_t absorbed =
          std::max<int64_t>(waiting_ + problem_.shape.query_len - delay_, 0);
      const int64_t old = std::min(waiting_, absorbed);
      LoadWaiting(problem_, cache_, length_ - waiting_, old,
                  scratch_.waiting_rope, scratch_.k, scratch_.v);
      AppendNew(memory.k, absorbed - old, scratch_.k);
      AppendNew(buffers_.v, absorbed - old, scratch_.v);
      memory.k = scratch_.k;
      memory.v = scratch_.v;
    }
    memory.initial_state = memory.final_state = cache_.state();
    MemoryForward(MemoryProblem(problem_, waiting_), memory, memory_out,
                  cache_.key_sum(), rest_);
  }

  // The first `count` rows of `in` widened behind the waiting ones.
  void AppendNew(const TensorView& in, int64_t count,
                 const TensorView& out) const {
    const Shape& shape = problem_.shape;
    ParallelFor(problem_.threads, shape.batch * shape.kv_heads,
                [&](int64_t task, int) {
                  const int64_t b = task / shape.kv_heads;
                  const int64_t h = task % shape.kv_heads;
                  for (int64_t t = 0; t < count; ++t) {
                    float* row = out.Row<float>(b, waiting_ + t, h);
                    for (int64_t i = 0; i < in.shape[3]; ++i) {
                      row[i] = static_cast<float>(in.Get(b, t, h, i));
                    }
                  }
                });
  }

  const Problem& problem_;
  const Buffers& buffers_;
  KvCache& cache_;
  const int64_t length_;
  const int64_t delay_;
  const int64_t waiting_;
  Arena arena_;
  StepScratch scratch_;
  Workspace rest_;
};

}  // namespace

size_t CacheStepScratchBytes(const Problem& problem) {
  const bool decode = problem.shape.query_len == 1;
  const int64_t waiting = MostWaiting(problem);
  size_t local = 0, memory = 0;
  if (HasLocal(problem.spec)) {
    local = decode ? SoftmaxDecodeBytes(problem) : SoftmaxForwardBytes(problem);
  }
  for (int64_t w : {int64_t{0}, decode ? 0 : waiting}) {
    if (HasMemory(problem.spec)) {
      memory = std::max(memory, MemoryScratchBytes(MemoryProblem(problem, w)));
    }
  }
  const size_t passes = decode ? local + memory : std::max(local, memory);
  return passes + BytesOf([&](Arena* arena) {
           StepScratch(problem, Buffers{}, 0, waiting, arena);
         });
}

void CacheStep(const Problem& problem, const Buffers& buffers, KvCache& cache,
               TensorView local_out, TensorView memory_out,
               Workspace workspace) {
  Step step(problem, buffers, cache, workspace);
  if (problem.shape.query_len == 1) {
    step.Decode(local_out, memory_out);
  } else {
    step.Extend(local_out, memory_out);
  }
  cache.Advance(problem.shape.query_len);
}

}  // namespace rattn
