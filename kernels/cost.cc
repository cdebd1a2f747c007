// Formulas of variants.md, sections 3.3 and 3.4.
#include "kernels/cost.h"

#include <algorithm>

#include "kernels/sequences.h"
#include "kernels/window.h"

namespace rattn {
namespace {

// Tiles of a blockwise kernel, for the executed counts: rows of a query block
// (positions times heads of a group), keys of a tile, tokens of a chunk.
constexpr int64_t kBlockRows = 64;
constexpr int64_t kKeyTile = 64;
constexpr int64_t kDefaultChunk = 64;

bool IsCached(const Problem& p) {
  return p.phase == Phase::kExtend || p.phase == Phase::kDecode;
}

// The queries of a call stand at positions [first, end) and see keys below
// `end`. Negative positions see nothing.
struct Span {
  int64_t first = 0;
  int64_t end = 0;
  int64_t rows() const { return end - first; }
};

Span QuerySpan(const Problem& p, int64_t context) {
  const int64_t end = IsCached(p) ? context + p.shape.key_len : p.shape.key_len;
  return {std::max<int64_t>(end - p.shape.query_len, 0), end};
}

// What a call does, counted in elementary pieces per sequence.
struct Counts {
  double pairs = 0;           // query-key pairs of one local head
  double executed_pairs = 0;  // with partial tiles
  double reads = 0;           // rows that read a state, of one head
  double writes = 0;          // tokens absorbed
  double chunk_rows = 0;      // rows times the tokens of their chunk
};

// Tokens that wait beside the state when a token is decoded, on average.
double MeanPending(const Problem& p) {
  return static_cast<double>(AbsorbEvery(p) - 1) / 2;
}

double ExecutedPairs(const Problem& p, const Span& span) {
  const int64_t window = LocalWindow(p.spec.local);
  const int64_t step = std::max<int64_t>(kBlockRows / GroupSize(p.shape), 1);
  double pairs = 0;
  for (int64_t at = span.first; at < span.end; at += step) {
    const int64_t last = std::min(at + step, span.end);
    const KeyRange keys = BlockWindowRange(at, last, window);
    const int64_t begin = keys.begin / kKeyTile * kKeyTile;
    const int64_t end =
        std::min((keys.end + kKeyTile - 1) / kKeyTile * kKeyTile, span.end);
    const int64_t sinks = std::min(SinkCount(p.spec.local), begin);
    pairs += static_cast<double>(last - at) *
             static_cast<double>(end - begin + sinks);
  }
  return pairs;
}

Counts Count(const Problem& p, int64_t context) {
  const Span span = QuerySpan(p, context);
  Counts counts;
  if (HasLocal(p.spec)) {
    counts.pairs = static_cast<double>(VisiblePairs(p.spec.local, span.end) -
                                       VisiblePairs(p.spec.local, span.first));
    // A single row is computed key by key.
    counts.executed_pairs =
        span.rows() == 1 ? counts.pairs : ExecutedPairs(p, span);
  }
  if (HasMemory(p.spec)) {
    const int64_t delay = MemoryDelay(p.spec);
    // Tokens that the last query reads, less those absorbed by earlier calls.
    const auto absorbed = [&](int64_t length) {
      return std::max<int64_t>(length - delay, 0);
    };
    const int64_t before = IsCached(p) ? absorbed(context) : 0;
    counts.writes = static_cast<double>(absorbed(span.end) - before);
    counts.reads =
        static_cast<double>(absorbed(span.end) - absorbed(span.first));
    const int64_t chunk = p.tiling.chunk > 0 ? p.tiling.chunk : kDefaultChunk;
    if (span.rows() == 1 && IsCached(p)) {
      counts.chunk_rows = counts.reads * MeanPending(p);
    } else if (span.rows() > 1) {
      counts.chunk_rows =
          counts.reads *
          static_cast<double>(std::min<int64_t>(
              chunk, static_cast<int64_t>(std::max(counts.writes, 1.0))));
    }
  }
  return counts;
}

struct Factors {
  explicit Factors(const Problem& p)
      : batch(static_cast<double>(p.shape.batch)),
        local_heads(static_cast<double>(
            LocalHeads(p.spec, p.shape.query_heads).size())),
        memory_heads(static_cast<double>(
            MemoryHeads(p.spec, p.shape.query_heads).size())),
        state_heads(static_cast<double>(StateHeads(p))),
        kv_heads(static_cast<double>(p.shape.kv_heads)),
        dim(static_cast<double>(p.shape.head_dim)),
        value_dim(static_cast<double>(p.shape.value_dim)),
        features(static_cast<double>(FeatureDim(p))),
        // The normalizer's key sum is one more column of the state.
        columns(value_dim +
                (p.spec.memory.normalizer == Normalizer::kSum ? 1 : 0)) {}
  double batch, local_heads, memory_heads, state_heads, kv_heads;
  double dim, value_dim, features, columns;
};

// One exponential per pair and per softmax feature of q and k.
double Exps(const Problem& p, const Counts& counts, const Factors& f) {
  double exps = counts.pairs * f.local_heads;
  if (HasMemory(p.spec) && p.spec.memory.feature_map == FeatureMap::kSoftmax) {
    exps += f.features *
            (counts.reads * f.memory_heads + counts.writes * f.kv_heads);
  }
  return f.batch * exps;
}

double ElementBytes(const Problem& p) {
  return static_cast<double>(ByteSize(p.dtype));
}
double WideBytes(const Problem& p) { return p.dtype == Dtype::kF64 ? 8 : 4; }

// q, k, v and o of the call, per sequence, in elements.
double InputElements(const Problem& p) {
  const Shape& s = p.shape;
  return static_cast<double>(s.query_len * s.query_heads * s.head_dim +
                             s.key_len * s.kv_heads *
                                 (s.head_dim + s.value_dim));
}
double OutputElements(const Problem& p) {
  const Shape& s = p.shape;
  return static_cast<double>(s.query_len * s.query_heads * s.value_dim);
}

// Cached tokens that a call must read: those that a query sees and those that
// the memory absorbs.
int64_t CachedRowsRead(const Problem& p, int64_t context) {
  const int64_t end = context + p.shape.key_len;
  int64_t first = context, last = context;
  int64_t sinks = 0;
  if (HasLocal(p.spec)) {
    first = std::min(WindowRange(context, LocalWindow(p.spec.local)).begin,
                     context);
    sinks = std::min(SinkCount(p.spec.local), first);
  }
  if (HasMemory(p.spec) && MemoryDelay(p.spec) > 0) {
    const int64_t absorb_begin =
        std::max<int64_t>(context - MemoryDelay(p.spec), 0);
    const int64_t absorb_end =
        std::clamp<int64_t>(end - MemoryDelay(p.spec), 0, context);
    if (absorb_begin < absorb_end) {
      if (!HasLocal(p.spec)) last = absorb_end;
      first = std::min(first, absorb_begin);
      sinks = std::min(sinks, first);
    }
  }
  return last - first + sinks;
}

// Elements of a key and a value of all KV heads.
double RowElements(const Shape& s) {
  return static_cast<double>(s.kv_heads * (s.head_dim + s.value_dim));
}

double StateBytes(const Problem& p, const Factors& f) {
  if (!HasMemory(p.spec)) return 0;
  const double key_sums = (f.columns - f.value_dim) * f.kv_heads;
  return WideBytes(p) * f.features * (f.state_heads * f.value_dim + key_sums);
}

// States and what waits for them, read and written by a call on a cache: a
// step of decode writes the state once in `absorb_every`, and otherwise what
// the step adds to those that wait.
double StateTraffic(const Problem& p, const Factors& f) {
  if (!HasMemory(p.spec)) return 0;
  if (p.shape.query_len > 1) return 2 * StateBytes(p, f);
  const double every = static_cast<double>(AbsorbEvery(p));
  const double key_sums =
      WideBytes(p) * f.features * (f.columns - f.value_dim) * f.kv_heads;
  const double pending = WideBytes(p) * f.kv_heads * (f.features + f.value_dim);
  return (StateBytes(p, f) - key_sums) * (1 + 1 / every) + 2 * key_sums +
         pending * (MeanPending(p) + (every - 1) / every);
}

// fp32 tensors that phase kTrain keeps, per sequence.
double KeptElements(const Problem& p) {
  const Shape& s = p.shape;
  const double rows = static_cast<double>(s.query_len * s.query_heads);
  const double branches = HasLocal(p.spec) + HasMemory(p.spec);
  return rows * (branches * static_cast<double>(s.value_dim) +
                 (HasLocal(p.spec) ? 1 : 0));
}

double ForwardBytes(const Problem& p, int64_t context, const Factors& f) {
  double bytes = ElementBytes(p) * (InputElements(p) + OutputElements(p));
  if (p.phase == Phase::kTrain) bytes += WideBytes(p) * KeptElements(p);
  if (IsCached(p)) {
    const bool has_keys =
        HasLocal(p.spec) || (HasMemory(p.spec) && MemoryDelay(p.spec) > 0);
    const int64_t written = has_keys ? p.shape.key_len : 0;
    bytes += ElementBytes(p) * RowElements(p.shape) *
             static_cast<double>(CachedRowsRead(p, context) + written);
    bytes += StateTraffic(p, f);
  }
  return f.batch * bytes;
}

// Of a pack, sequence by sequence.
template <typename CostOf>
Cost SumOverSequences(const Problem& pack, const CostOf& cost_of) {
  Cost sum;
  for (int64_t i = 0; i < SequenceCount(pack); ++i) {
    const Problem p = SequenceProblem(pack, i);
    if (p.shape.key_len == 0) continue;
    const Cost one = cost_of(p);
    sum.useful_flops += one.useful_flops;
    sum.executed_flops += one.executed_flops;
    sum.exps += one.exps;
    sum.bytes += one.bytes;
  }
  return sum;
}

}  // namespace

Cost ForwardCost(const Problem& p, int64_t context) {
  if (!p.cu_seqlens.empty()) {
    return SumOverSequences(
        p, [](const Problem& one) { return ForwardCost(one); });
  }
  const Counts counts = Count(p, context);
  const Factors f(p);
  const double pair = 2 * (f.dim + f.value_dim) * f.local_heads;
  const double states =
      2 * f.features * f.columns *
      (counts.reads * f.memory_heads + counts.writes * f.state_heads);
  const double in_chunk = 2 * (f.features + f.columns) * f.memory_heads;
  return {
      .useful_flops = f.batch * (pair * counts.pairs + states),
      .executed_flops = f.batch * (pair * counts.executed_pairs + states +
                                   in_chunk * counts.chunk_rows),
      .exps = Exps(p, counts, f),
      .bytes = ForwardBytes(p, context, f),
  };
}

Cost BackwardCost(const Problem& p) {
  if (!p.cu_seqlens.empty()) return SumOverSequences(p, BackwardCost);
  const Counts counts = Count(p, 0);
  const Factors f(p);
  const double pair = 2 * (3 * f.dim + 2 * f.value_dim) * f.local_heads;
  // Per row: the gradients of phi(q) and of the state; per token: the state
  // again, the gradients of phi(k) and v.
  const double states =
      2 * f.features * f.columns *
      (2 * counts.reads * f.memory_heads + 3 * counts.writes * f.state_heads);
  const double in_chunk = (6 * f.features + 4 * f.columns) * f.memory_heads;
  return {
      .useful_flops = f.batch * (pair * counts.pairs + states),
      .executed_flops = f.batch * (pair * counts.executed_pairs + states +
                                   in_chunk * counts.chunk_rows),
      .exps = Exps(p, counts, f),
      // In: q, k, v, what forward kept, d_o. Out: dq, dk, dv.
      .bytes = f.batch *
               (ElementBytes(p) * (2 * InputElements(p) + OutputElements(p)) +
                WideBytes(p) * KeptElements(p)),
  };
}

CacheBytes LayerCacheBytes(const Problem& p, int64_t tokens) {
  const Shape& s = p.shape;
  int64_t rows = 0;
  if (p.spec.local.kind == LocalKind::kCausal) {
    rows = tokens;
  } else if (HasLocal(p.spec)) {
    rows = std::min(tokens, p.spec.local.window_keys + SinkCount(p.spec.local));
  } else if (HasMemory(p.spec)) {
    rows = std::min(tokens, MemoryDelay(p.spec));
  }
  const int64_t wide = p.dtype == Dtype::kF64 ? 8 : 4;
  CacheBytes bytes;
  bytes.kv = s.batch * rows * s.kv_heads * (s.head_dim + s.value_dim) *
             static_cast<int64_t>(ByteSize(p.dtype));
  if (HasMemory(p.spec)) {
    const bool sums = p.spec.memory.normalizer == Normalizer::kSum;
    bytes.state = s.batch * wide *
                  (FeatureDim(p) *
                       (StateHeads(p) * s.value_dim + (sums ? s.kv_heads : 0)) +
                   (AbsorbEvery(p) - 1) * s.kv_heads * PendingDim(p));
  }
  return bytes;
}

}  // namespace rattn
