#include "kernels/cpu/softmax_attention.h"
#include "kernels/cpu/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/softmax_decode.cc"
#include "hwy/foreach_target.h"
#include "kernels/cpu/softmax_tile-inl.h"

#ifndef RATTN_KERNELS_CPU_SOFTMAX_DECODE_ONCE
#define RATTN_KERNELS_CPU_SOFTMAX_DECODE_ONCE
namespace rattn {
namespace {

// A long context is cut into at most kMostSplits parts, so that one sequence
// with few heads can occupy all threads.
constexpr int64_t kSplitKeys = 1024;
constexpr int64_t kMostSplits = 16;

int64_t SplitCount(int64_t keys) {
  return std::clamp<int64_t>((keys + kSplitKeys - 1) / kSplitKeys, 1,
                             kMostSplits);
}

// Buffers of one thread.
struct DecodeScratch {
  float* query;   // [rows, D], scaled to base-2 logits
  float* keys;    // [kKeyTile, D]
  float* values;  // [kKeyTile, Dv]
  float* scores;  // [rows, kKeyTile]
};

DecodeScratch TakeDecodeScratch(const Problem& problem, Arena* arena) {
  const int64_t rows = MakeLocalPlan(problem).rows;
  return {arena->Take<float>(rows * problem.shape.head_dim),
          arena->Take<float>(kKeyTile * problem.shape.head_dim),
          arena->Take<float>(kKeyTile * problem.shape.value_dim),
          arena->Take<float>(rows * kKeyTile)};
}

size_t DecodeScratchBytes(const Problem& problem) {
  return BytesOf([&](Arena* arena) { TakeDecodeScratch(problem, arena); });
}

// Unnormalised result of one group of heads over one part of the keys.
struct Partial {
  float* top;  // [group] maximum, base 2
  float* sum;  // [group] of 2^(score - top)
  float* out;  // [group, Dv]
};

struct Partials {
  float* data = nullptr;
  int64_t group = 0;
  int64_t value_dim = 0;

  int64_t size() const { return RoundUp(group * (value_dim + 2), kMaxLanes); }
  Partial at(int64_t index) const {
    float* top = data + index * size();
    return {top, top + group, top + 2 * group};
  }
};

Partials TakePartials(const Problem& problem, Arena* arena) {
  const Shape& shape = problem.shape;
  Partials partials = {nullptr, GroupSize(shape), shape.value_dim};
  const int64_t splits = SplitCount(LocalWindow(problem.spec.local));
  partials.data = arena->Take<float>(shape.batch * shape.kv_heads * splits *
                                     partials.size());
  return partials;
}

}  // namespace
}  // namespace rattn
#endif  // RATTN_KERNELS_CPU_SOFTMAX_DECODE_ONCE

HWY_BEFORE_NAMESPACE();
namespace rattn {
namespace HWY_NAMESPACE {

// scores[h, j] of kHeads heads: each key is loaded once for all of them.
template <int kHeads>
void ScoreHeads(int64_t keys, int64_t dim, const float* query, const float* k,
                int64_t ldk, float* scores) {
  const TileD d;
  const int64_t lanes = hn::Lanes(d);
  for (int64_t j = 0; j < keys; ++j) {
    const float* key = k + j * ldk;
    TileV sum[kHeads];
    for (int h = 0; h < kHeads; ++h) sum[h] = hn::Zero(d);
    int64_t i = 0;
    for (; i + lanes <= dim; i += lanes) {
      const TileV x = hn::LoadU(d, key + i);
#pragma GCC unroll 8
      for (int h = 0; h < kHeads; ++h) {
        sum[h] = hn::MulAdd(x, hn::LoadU(d, query + h * dim + i), sum[h]);
      }
    }
    if (i < dim) {
      const TileV x = LoadFirst(key + i, dim - i);
#pragma GCC unroll 8
      for (int h = 0; h < kHeads; ++h) {
        sum[h] = hn::MulAdd(x, LoadFirst(query + h * dim + i, dim - i), sum[h]);
      }
    }
#pragma GCC unroll 8
    for (int h = 0; h < kHeads; ++h) {
      scores[h * kKeyTile + j] = hn::GetLane(hn::SumOfLanes(d, sum[h]));
    }
  }
}

inline void ScoreTile(int64_t heads, int64_t keys, int64_t dim,
                      const float* query, const float* k, int64_t ldk,
                      float* scores) {
  int64_t h = 0;
  for (; h + 4 <= heads; h += 4) {
    ScoreHeads<4>(keys, dim, query + h * dim, k, ldk, scores + h * kKeyTile);
  }
  for (; h + 2 <= heads; h += 2) {
    ScoreHeads<2>(keys, dim, query + h * dim, k, ldk, scores + h * kKeyTile);
  }
  if (h < heads) {
    ScoreHeads<1>(keys, dim, query + h * dim, k, ldk, scores + h * kKeyTile);
  }
}

// One head's scores become 2^(score - top), its maximum and sum move on, its
// output so far is rescaled.
inline void SoftmaxHead(int64_t keys, int64_t value_dim, float* scores,
                        float* top, float* sum, float* out) {
  const TileD d;
  const int64_t lanes = hn::Lanes(d);
  const int64_t padded = RoundUp(keys, lanes);
  std::fill(scores + keys, scores + padded, kMinusInfinity);
  const float old_top = *top;
  *top = HWY_MAX(old_top, RowMax(scores, padded));
  if (*top > old_top) {
    const float rescale = std::exp2(old_top - *top);
    *sum *= rescale;
    ScaleRow(rescale, out, value_dim, out, false);
  }
  const TileV shift = hn::Set(d, *top);
  TileV total = hn::Zero(d);
  for (int64_t j = 0; j < padded; j += lanes) {
    const TileV p = Exp2(hn::Sub(hn::LoadU(d, scores + j), shift));
    hn::StoreU(p, d, scores + j);
    total = hn::Add(total, p);
  }
  *sum += hn::GetLane(hn::SumOfLanes(d, total));
}

inline void DecodeKeys(const LocalInputs& in, const QueryBlock& block,
                       KeyRange range, const Partial& to,
                       const DecodeScratch& s) {
  const Shape& shape = in.problem->shape;
  for (int64_t first = range.begin; first < range.end; first += kKeyTile) {
    const int64_t keys = std::min(kKeyTile, range.end - first);
    int64_t ldk, ldv;
    const float* k =
        KeyRows(in.k, block.b, block.kv_head, first, keys, s.keys, &ldk);
    ScoreTile(block.rows, keys, shape.head_dim, s.query, k, ldk, s.scores);
    for (int64_t r = 0; r < block.rows; ++r) {
      SoftmaxHead(keys, shape.value_dim, s.scores + r * kKeyTile, to.top + r,
                  to.sum + r, to.out + r * shape.value_dim);
    }
    const float* v =
        KeyRows(in.v, block.b, block.kv_head, first, keys, s.values, &ldv);
    GemmNN(block.rows, shape.value_dim, keys, s.scores, kKeyTile, v, ldv,
           to.out, shape.value_dim, true);
  }
}

// Part `index` of `count` of the window's keys; the first also takes the
// sinks.
inline void DecodePart(const LocalInputs& in, const LocalPlan& plan,
                       const QueryBlock& block, int64_t index, int64_t count,
                       const Partial& to, const DecodeScratch& s) {
  const int64_t value_dim = in.problem->shape.value_dim;
  std::fill_n(to.top, block.rows, kMinusInfinity);
  std::fill_n(to.sum, block.rows, 0.0f);
  std::fill_n(to.out, block.rows * value_dim, 0.0f);
  const float scale = static_cast<float>(LocalScale(*in.problem) * M_LOG2E);
  const auto parts = BlockParts(in, plan, block);
  for (const BlockPart& part : parts) {
    const bool window = &part == &parts[1];
    KeyRange keys = part.keys;
    if (window) {
      const int64_t length =
          RoundUp((keys.size() + count - 1) / count, kKeyTile);
      const int64_t begin = keys.begin + index * length;
      keys = {begin, std::min(begin + length, keys.end)};
    }
    if (keys.size() == 0 || (!window && index > 0)) continue;
    PackRows(in, block, in.q, scale, part.rotation, s.query);
    DecodeKeys(in, block, keys, to, s);
  }
}

// Joins the parts of one group and stores its rows.
inline void FinishGroup(const LocalInputs& in, const QueryBlock& block,
                        const Partials& partials, int64_t first, int64_t count,
                        const LocalOutputs& out) {
  const int64_t value_dim = in.problem->shape.value_dim;
  const Partial total = partials.at(first);
  for (int64_t r = 0; r < block.rows; ++r) {
    const int64_t h = block.heads.begin + r;
    float top = kMinusInfinity;
    if (in.sink_logit) {
      top = static_cast<float>(in.sink_logit.Get(0, 0, 0, h)) * kLog2E;
    }
    const float sink = top;
    for (int64_t i = 0; i < count; ++i) {
      top = HWY_MAX(top, partials.at(first + i).top[r]);
    }
    float sum = std::exp2(sink - top);
    float* row = total.out + r * value_dim;
    for (int64_t i = 0; i < count; ++i) {
      const Partial part = partials.at(first + i);
      const float weight = std::exp2(part.top[r] - top);
      sum += weight * part.sum[r];
      ScaleRow(weight, part.out + r * value_dim, value_dim, row, i > 0);
    }
    ScaleRow(1 / sum, row, value_dim, row, false);
    StoreRows(row, value_dim, out.out, block.b, 0, 1, h, false);
    if (out.lse) {
      *out.lse.Row<float>(block.b, 0, h) = top * kLn2 + std::log(sum);
    }
    if (out.max_logits) {
      *out.max_logits.Row<float>(block.b, 0, h) = top * kLn2;
    }
  }
}

void DecodePass(const LocalInputs& in, const LocalOutputs& out,
                const Partials& partials, std::byte* scratch) {
  const Problem& problem = *in.problem;
  const Shape& shape = problem.shape;
  const LocalPlan plan = MakeLocalPlan(problem);
  const size_t step = DecodeScratchBytes(problem);
  const auto group_of = [&](int64_t head) {
    return MakeBlock(in, plan, head / shape.kv_heads, head % shape.kv_heads, 0);
  };
  const int64_t heads = shape.batch * shape.kv_heads;
  const int64_t splits = SplitCount(WindowKeys(plan, group_of(0)).size());
  ParallelFor(problem.threads, heads * splits,
              [&](int64_t task, int thread) HWY_ATTR {
                Arena arena(scratch + thread * step);
                const DecodeScratch s = TakeDecodeScratch(problem, &arena);
                const QueryBlock block = group_of(task / splits);
                if (block.rows == 0) return;
                DecodePart(in, plan, block, task % splits, splits,
                           partials.at(task), s);
                if (splits == 1) {
                  FinishGroup(in, block, partials, task, 1, out);
                }
              });
  if (splits == 1) return;
  for (int64_t head = 0; head < heads; ++head) {
    const QueryBlock block = group_of(head);
    if (block.rows == 0) continue;
    FinishGroup(in, block, partials, head * splits, splits, out);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace rattn
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace rattn {
namespace {
HWY_EXPORT(DecodePass);
}  // namespace

size_t SoftmaxDecodeBytes(const Problem& problem) {
  return BytesOf([&](Arena* arena) {
    TakePartials(problem, arena);
    arena->Take<std::byte>(DecodeScratchBytes(problem) * problem.threads);
  });
}

void SoftmaxDecode(const LocalInputs& inputs, const LocalOutputs& outputs,
                   Workspace workspace) {
  const Problem& problem = *inputs.problem;
  Arena arena(workspace.data);
  const Partials partials = TakePartials(problem, &arena);
  std::byte* scratch =
      arena.Take<std::byte>(DecodeScratchBytes(problem) * problem.threads);
  HWY_DYNAMIC_DISPATCH(DecodePass)(inputs, outputs, partials, scratch);
}

}  // namespace rattn
#endif  // HWY_ONCE
