#include "kernels/cpu/softmax_attention.h"
#include "kernels/cpu/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/softmax_decode.cc"
#include "hwy/foreach_target.h"
#include "kernels/cpu/decode_rows-inl.h"
#include "kernels/cpu/softmax_tile-inl.h"

#ifndef RATTN_KERNELS_CPU_SOFTMAX_DECODE_ONCE
#define RATTN_KERNELS_CPU_SOFTMAX_DECODE_ONCE
namespace rattn {
namespace {

// A long context is cut into at most kMostSplits parts, so that one sequence
// with few heads can occupy all threads.
constexpr int64_t kSplitKeys = 1024;
constexpr int64_t kMostSplits = 16;
// With few heads shorter contexts are cut as well, into parts that are still
// long beside the cost of a part.
constexpr int64_t kLeastKeys = 256;
constexpr int64_t kWantedTasks = 16;

// Of `keys` keys for each of `heads` KV heads: not a function of the threads.
int64_t SplitCount(int64_t heads, int64_t keys) {
  const auto pieces = [keys](int64_t length, int64_t most) {
    return std::clamp<int64_t>((keys + length - 1) / length, 1, most);
  };
  return std::max(pieces(kSplitKeys, kMostSplits),
                  pieces(kLeastKeys, (kWantedTasks + heads - 1) / heads));
}

// Keys whose scores are computed before their values are read, and how far
// ahead rows are fetched: with the first rows of the next task 3 % of a cold
// step below 64 keys without them.
constexpr int64_t kDecodeKeys = 32;
static_assert(kKeyTile % kDecodeKeys == 0);

// Whole pairs of columns on every instruction set.
int64_t PairedWidth(int64_t dim) { return RoundUp(dim, 2 * kMaxLanes); }

// Buffers of one thread.
struct DecodeScratch {
  float* rows;     // [rows, D] queries, scaled to base-2 logits
  float* queries;  // [rows, width of D], paired
  float* scores;   // [rows, kDecodeKeys]
  float* rescale;  // [rows]
  float* out;      // [Dv]
};

DecodeScratch TakeDecodeScratch(const Problem& problem, Arena* arena) {
  const Shape& shape = problem.shape;
  const int64_t rows = MakeLocalPlan(problem).rows;
  return {arena->Take<float>(rows * shape.head_dim),
          arena->Take<float>(rows * PairedWidth(shape.head_dim)),
          arena->Take<float>(rows * kDecodeKeys), arena->Take<float>(rows),
          arena->Take<float>(shape.value_dim)};
}

size_t DecodeScratchBytes(const Problem& problem) {
  return BytesOf([&](Arena* arena) { TakeDecodeScratch(problem, arena); });
}

// Unnormalised result of one group of heads over one part of the keys.
struct Partial {
  float* top;  // [group] maximum, base 2
  float* sum;  // [group] of 2^(score - top)
  float* out;  // [group, width], paired
};

struct Partials {
  float* data = nullptr;
  int64_t group = 0;
  int64_t width = 0;

  int64_t size() const { return RoundUp(group * (width + 2), kMaxLanes); }
  Partial at(int64_t index) const {
    float* top = data + index * size();
    return {top, top + group, top + 2 * group};
  }
};

Partials PartialsAt(const Problem& problem, float* data) {
  return {data, GroupSize(problem.shape), PairedWidth(problem.shape.value_dim)};
}

// Workspace of a call on at most `splits` parts.
void TakeDecode(const Problem& problem, DecodeJob* job, Arena* arena) {
  const Shape& shape = problem.shape;
  job->heads = shape.batch * shape.kv_heads;
  const int64_t splits =
      SplitCount(job->heads, LocalWindow(problem.spec.local));
  job->partials = arena->Take<float>(job->heads * splits *
                                     PartialsAt(problem, nullptr).size());
  job->scratch =
      arena->Take<std::byte>(DecodeScratchBytes(problem) * problem.threads);
}

QueryBlock GroupOf(const DecodeJob& job, int64_t head) {
  const int64_t kv_heads = job.in.problem->shape.kv_heads;
  return MakeBlock(job.in, job.plan, head / kv_heads, head % kv_heads, 0);
}

DecodeScratch ScratchOf(const DecodeJob& job, int thread) {
  const Problem& problem = *job.in.problem;
  Arena arena(job.scratch + thread * DecodeScratchBytes(problem));
  return TakeDecodeScratch(problem, &arena);
}

}  // namespace
}  // namespace rattn
#endif  // RATTN_KERNELS_CPU_SOFTMAX_DECODE_ONCE

HWY_BEFORE_NAMESPACE();
namespace rattn {
namespace HWY_NAMESPACE {

// One head's scores become 2^(score - top), its maximum and sum move on;
// returns the factor that its output so far is to be multiplied by.
inline float SoftmaxHead(int64_t keys, float* scores, float* top, float* sum) {
  const TileD d;
  const int64_t lanes = hn::Lanes(d);
  const int64_t padded = RoundUp(keys, lanes);
  std::fill(scores + keys, scores + padded, kMinusInfinity);
  const float old_top = *top;
  *top = HWY_MAX(old_top, RowMax(scores, padded));
  const float rescale = *top > old_top ? std::exp2(old_top - *top) : 1.0f;
  const TileV shift = hn::Set(d, *top);
  TileV total = hn::Zero(d);
  for (int64_t j = 0; j < padded; j += lanes) {
    const TileV p = Exp2(hn::Sub(hn::LoadU(d, scores + j), shift));
    hn::StoreU(p, d, scores + j);
    total = hn::Add(total, p);
  }
  *sum = rescale * *sum + hn::GetLane(hn::SumOfLanes(d, total));
  return rescale;
}

// Keys of `range` from `first` on whose rows follow each other, up to a tile.
int64_t PieceKeys(const LocalInputs& in, KeyRange range, int64_t first) {
  return std::min(
      {kDecodeKeys, range.end - first, ContiguousRun(*in.k.cache, first)});
}

template <typename T>
Ahead PieceAhead(const LocalInputs& in, const QueryBlock& block, KeyRange range,
                 int64_t first) {
  const int64_t bytes = sizeof(T) * in.problem->shape.head_dim;
  return {in.k.CacheRow(block.b, block.kv_head, first),
          PieceKeys(in, range, first), bytes, bytes};
}

// The keys of `range` as they lie in the cache, in pieces whose rows follow
// each other. The values of a piece are fetched while its keys are read, and
// the keys of the next one, in the end those of `after`, with the values.
template <typename T>
void DecodeKeys(const LocalInputs& in, const QueryBlock& block, KeyRange range,
                const Partial& to, int64_t width, const Ahead& after,
                const DecodeScratch& s) {
  const Shape& shape = in.problem->shape;
  const float cap = Softcap2(*in.problem);
  const int64_t value_bytes = sizeof(T) * shape.value_dim;
  for (int64_t first = range.begin; first < range.end;) {
    const int64_t keys = PieceKeys(in, range, first);
    const int64_t next = first + keys;
    const T* k =
        static_cast<const T*>(in.k.CacheRow(block.b, block.kv_head, first));
    const T* v =
        static_cast<const T*>(in.v.CacheRow(block.b, block.kv_head, first));
    const Ahead keys_ahead =
        next < range.end ? PieceAhead<T>(in, block, range, next) : after;
    const Ahead values_ahead = {v, keys, value_bytes, value_bytes};
    const int64_t query_width = PairedWidth(shape.head_dim);
    ForQueryBlocks(block.rows, [&](auto queries, int64_t q) HWY_ATTR {
      ScoreRows<queries>(k, keys, shape.head_dim, s.queries + q * query_width,
                         query_width, s.scores + q * kDecodeKeys, kDecodeKeys,
                         q == 0 ? values_ahead : Ahead{});
    });
    for (int64_t r = 0; r < block.rows; ++r) {
      float* scores = s.scores + r * kDecodeKeys;
      if (cap > 0) CapScores(cap, keys, scores);
      s.rescale[r] = SoftmaxHead(keys, scores, to.top + r, to.sum + r);
    }
    ForQueryBlocks(block.rows, [&](auto queries, int64_t q) HWY_ATTR {
      AddRows<queries>(v, keys, shape.value_dim, shape.value_dim,
                       s.scores + q * kDecodeKeys, kDecodeKeys, s.rescale + q,
                       to.out + q * width, width,
                       q == 0 ? keys_ahead : Ahead{});
    });
    first = next;
  }
}

KeyRange PartKeys(const DecodeJob& job, KeyRange window, int64_t index) {
  const int64_t begin = window.begin + index * job.part_keys;
  return {begin, std::min(begin + job.part_keys, window.end)};
}

// What the thread that is at `task` most likely reads next: tasks go round the
// threads, and a part's first rows would else be waited for.
template <typename T>
Ahead TaskAhead(const DecodeJob& job, int64_t task) {
  const int64_t next = task + job.in.problem->threads;
  if (next >= job.tasks()) return {};
  const QueryBlock block = GroupOf(job, next / job.parts);
  if (block.rows == 0) return {};
  const KeyRange keys =
      PartKeys(job, WindowKeys(job.plan, block), next % job.parts);
  if (keys.size() <= 0) return {};
  return PieceAhead<T>(job.in, block, keys, keys.begin);
}

// Part `index` of the window's keys; the first also takes the sinks.
template <typename T>
void DecodePart(const DecodeJob& job, const QueryBlock& block, int64_t index,
                const Partial& to, int64_t width, const Ahead& after,
                const DecodeScratch& s) {
  const LocalInputs& in = job.in;
  const int64_t dim = in.problem->shape.head_dim;
  std::fill_n(to.top, block.rows, kMinusInfinity);
  std::fill_n(to.sum, block.rows, 0.0f);
  std::fill_n(to.out, block.rows * width, 0.0f);
  const float scale = static_cast<float>(LocalScale(*in.problem) * M_LOG2E);
  const auto parts = BlockParts(in, job.plan, block);
  for (const BlockPart& part : parts) {
    const bool window = &part == &parts[1];
    const KeyRange keys = window ? PartKeys(job, part.keys, index) : part.keys;
    if (keys.size() == 0 || (!window && index > 0)) continue;
    PackRows(in, block, in.q, scale, part.rotation, s.rows);
    for (int64_t r = 0; r < block.rows; ++r) {
      PairRow<T>(s.rows + r * dim, dim, s.queries + r * PairedWidth(dim));
    }
    DecodeKeys<T>(in, block, keys, to, width, window ? after : Ahead{}, s);
  }
}

// Joins the parts of one group and stores its rows.
template <typename T>
void FinishGroup(const LocalInputs& in, const QueryBlock& block,
                 const Partials& partials, int64_t first, int64_t count,
                 const LocalOutputs& out, const DecodeScratch& s) {
  const int64_t width = partials.width;
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
    float* row = total.out + r * width;
    for (int64_t i = 0; i < count; ++i) {
      const Partial part = partials.at(first + i);
      const float weight = std::exp2(part.top[r] - top);
      sum += weight * part.sum[r];
      ScaleRow(weight, part.out + r * width, width, row, i > 0);
    }
    ScaleRow(1 / sum, row, width, row, false);
    UnpairRow<T>(row, value_dim, s.out);
    StoreRows(s.out, value_dim, out.out, block.b, 0, 1, h, false);
    if (out.lse) {
      *out.lse.Row<float>(block.b, 0, h) = top * kLn2 + std::log(sum);
    }
    if (out.max_logits) {
      *out.max_logits.Row<float>(block.b, 0, h) = top * kLn2;
    }
  }
}

template <typename T>
void RunTask(const DecodeJob& job, int64_t head, int64_t part,
             const DecodeScratch& s) {
  const QueryBlock block = GroupOf(job, head);
  if (block.rows == 0) return;
  const Partials partials = PartialsAt(*job.in.problem, job.partials);
  const int64_t at = head * job.parts + part;
  DecodePart<T>(job, block, part, partials.at(at), partials.width,
                TaskAhead<T>(job, at), s);
  if (job.parts == 1)
    FinishGroup<T>(job.in, block, partials, at, 1, job.out, s);
}

template <typename T>
void JoinParts(const DecodeJob& job) {
  const Partials partials = PartialsAt(*job.in.problem, job.partials);
  for (int64_t head = 0; head < job.heads; ++head) {
    const QueryBlock block = GroupOf(job, head);
    if (block.rows == 0) continue;
    FinishGroup<T>(job.in, block, partials, head * job.parts, job.parts,
                   job.out, ScratchOf(job, 0));
  }
}

void DecodeTask(const DecodeJob& job, int64_t task, int thread) {
  const auto run =
      job.in.k.cache_dtype == Dtype::kBF16 ? RunTask<Bf16> : RunTask<float>;
  run(job, task / job.parts, task % job.parts, ScratchOf(job, thread));
}

void DecodeJoin(const DecodeJob& job) {
  const auto run =
      job.in.k.cache_dtype == Dtype::kBF16 ? JoinParts<Bf16> : JoinParts<float>;
  run(job);
}

}  // namespace HWY_NAMESPACE
}  // namespace rattn
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace rattn {
namespace {
HWY_EXPORT(DecodeTask);
HWY_EXPORT(DecodeJoin);
}  // namespace

size_t SoftmaxDecodeBytes(const Problem& problem) {
  return BytesOf([&](Arena* arena) {
    DecodeJob job;
    TakeDecode(problem, &job, arena);
  });
}

DecodeJob MakeDecode(const LocalInputs& inputs, const LocalOutputs& outputs,
                     Workspace workspace) {
  const Problem& problem = *inputs.problem;
  DecodeJob job = {
      .in = inputs, .out = outputs, .plan = MakeLocalPlan(problem)};
  Arena arena(workspace.data);
  TakeDecode(problem, &job, &arena);
  const int64_t keys = WindowKeys(job.plan, GroupOf(job, 0)).size();
  const int64_t splits = SplitCount(job.heads, keys);
  job.part_keys =
      std::max(RoundUp((keys + splits - 1) / splits, kKeyTile), kKeyTile);
  job.parts = std::max<int64_t>((keys + job.part_keys - 1) / job.part_keys, 1);
  return job;
}

void RunDecode(const DecodeJob& job, int64_t task, int thread) {
  HWY_DYNAMIC_DISPATCH(DecodeTask)(job, task, thread);
}

void FinishDecode(const DecodeJob& job) {
  if (job.parts > 1) HWY_DYNAMIC_DISPATCH(DecodeJoin)(job);
}

}  // namespace rattn
#endif  // HWY_ONCE
