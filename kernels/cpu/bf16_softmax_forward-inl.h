// The softmax forward on bf16 tiles. As bf16_tiles-inl.h, for AVX-512 only.
#include <algorithm>
#include <cmath>

#include "kernels/cpu/bf16_forward_plan.h"

#if defined(RATTN_KERNELS_CPU_BF16_SOFTMAX_FORWARD_INL_H_) == \
    defined(HWY_TARGET_TOGGLE)
#ifdef RATTN_KERNELS_CPU_BF16_SOFTMAX_FORWARD_INL_H_
#undef RATTN_KERNELS_CPU_BF16_SOFTMAX_FORWARD_INL_H_
#else
#define RATTN_KERNELS_CPU_BF16_SOFTMAX_FORWARD_INL_H_
#endif

#include "hwy/highway.h"
#include "kernels/cpu/bf16_softmax_rows-inl.h"

#if HWY_TARGET == HWY_AVX3
HWY_BEFORE_NAMESPACE();
namespace rattn {
namespace HWY_NAMESPACE {

// The query and the head of outputs.out's first row: it may hold a part.
struct OutOrigin {
  int64_t query = 0, head = 0;
};

class Bf16SoftmaxForwardPass {
 public:
  Bf16SoftmaxForwardPass(const LocalInputs& in, const LocalOutputs& out,
                         const Bf16ForwardKeys& packed,
                         const Bf16ForwardScratch& scratch,
                         OutOrigin origin = {})
      : in_(in),
        out_(out),
        origin_(origin),
        plan_(*in.problem),
        packed_(plan_.on_cache ? scratch.own : packed),
        s_(scratch),
        value_dim_(in.problem->shape.value_dim) {
    const double scale = LocalScale(*in.problem);
    factor_ = static_cast<float>(std::abs(scale) * M_LOG2E);
    sign_ = scale < 0 ? -1.f : 1.f;
    cap_ = Softcap2(*in.problem) / factor_;
  }

  void PackGroup(int64_t head, int64_t group) const {
    const int64_t kv_heads = in_.problem->shape.kv_heads;
    PackKeys(head / kv_heads, head % kv_heads, group * kDepth,
             {0, in_.problem->shape.key_len}, head * plan_.groups + group);
  }

  void Run(const QueryBlock& block) const {
    StartRows(block);
    bool packed = false;
    Rotation rotation{};
    for (const BlockPart& part : BlockParts(in_, plan_.local, block)) {
      if (part.keys.size() == 0) continue;
      if (!packed || rotation != part.rotation) {
        StageBlock(in_, block, in_.q, sign_, part.rotation, s_.wide,
                   {s_.query, plan_.depth, /*tiles=*/true});
        rotation = part.rotation;
        packed = true;
      }
      Attend(block, part);
    }
    FinishRows(block);
  }

 private:
  // 32 keys from position `first` on as the packed group `at`; those outside
  // `keys` are zero.
  void PackKeys(int64_t b, int64_t h, int64_t first, const KeyRange& keys,
                int64_t at) const {
    StageKeys(in_.k, b, h, first, keys, plan_.depth, s_.wide, s_.staged);
    PackRightColumns(s_.staged, kDepth, plan_.depth,
                     packed_.keys + at * kDepth * plan_.depth);
    StageKeys(in_.v, b, h, first, keys, plan_.value_dim, s_.wide, s_.staged);
    PackRightRows(s_.staged, kDepth, plan_.value_dim,
                  packed_.values + at * kDepth * plan_.value_dim);
  }

  // The packed group of the first key of a key block.
  int64_t FirstGroup(const QueryBlock& block, int64_t first_key) const {
    if (plan_.on_cache) return first_key / kBlockKeys % 2 * kBlockGroups;
    const int64_t head = block.b * in_.problem->shape.kv_heads + block.kv_head;
    return head * plan_.groups + first_key / kDepth;
  }

  // On a cache: what the rows see of a key block.
  void PackBlock(const QueryBlock& block, const BlockPart& part,
                 int64_t first_key) const {
    const int64_t begin = std::max(part.keys.begin, first_key) / kDepth;
    const int64_t end = std::min(part.keys.end, first_key + kBlockKeys);
    for (int64_t g = begin; g * kDepth < end; ++g) {
      PackKeys(block.b, block.kv_head, g * kDepth, part.keys,
               FirstGroup(block, first_key) + g - first_key / kDepth);
    }
  }

  int64_t result_columns() const { return plan_.value_dim / kSide; }
  float* OutRow(int64_t row) const {
    return s_.out + row / kSide * result_columns() * kResultTile +
           row % kSide * kSide;
  }

  void StartRows(const QueryBlock& block) const {
    std::fill_n(s_.started, RoundUp(block.rows, kStripRows) / kStripRows,
                false);
    std::fill_n(s_.sum, block.rows * kSide, 0.f);
    std::fill_n(s_.top, block.rows * kSide, kMinusInfinity);
    std::fill_n(s_.shift, block.rows, kMinusInfinity);
    if (!in_.sink_logit) return;
    for (int64_t r = 0; r < block.rows; ++r) {
      const int64_t h = block.heads.begin + r % block.heads.size();
      const float sink = static_cast<float>(in_.sink_logit.Get(0, 0, 0, h));
      if (sink == kMinusInfinity) continue;
      s_.top[r * kSide] = sink * kLog2E / factor_;
      s_.shift[r] = sink * kLog2E;
      s_.sum[r * kSide] = 1;
    }
  }

  // What is under way while rows meet keys: products run one piece ahead of the
  // softmax, and P V of a strip waits until the next one has its first scores.
  struct Pipeline {
    explicit Pipeline(const Bf16ForwardScratch& scratch) {
      for (int64_t i = 0; i < 2; ++i) strips[i].probs = scratch.probs[i];
    }
    Strip& current() { return strips[visits % 2]; }
    Strip& previous() { return strips[(visits + 1) % 2]; }

    Strip strips[2];
    PieceSoftmax softmax;
    int64_t visits = 0;  // strips that saw keys of a block
    int64_t pieces = 0;
  };

  // All rows on the keys of a part.
  void Attend(const QueryBlock& block, const BlockPart& part) const {
    Pipeline pipeline(s_);
    const int64_t begin = part.keys.begin / kBlockKeys * kBlockKeys;
    for (int64_t key = begin; key < part.keys.end; key += kBlockKeys) {
      if (plan_.on_cache) PackBlock(block, part, key);
      for (int64_t row = 0; row < block.rows; row += kStripRows) {
        Visit(block, part, key, row, &pipeline);
      }
    }
    pipeline.softmax.Finish(result_columns());
    Accumulate(&pipeline.previous(), nullptr);
  }

  // A strip of rows on the keys [first_key, first_key + kBlockKeys).
  void Visit(const QueryBlock& block, const BlockPart& part, int64_t first_key,
             int64_t first_row, Pipeline* pipeline) const {
    Strip& strip = pipeline->current();
    strip.first_row = first_row;
    strip.last_row = std::min(first_row + kStripRows, block.rows) - 1;
    strip.group = FirstGroup(block, first_key);
    strip.begin = strip.end = 0;
    for (int64_t at = 0; at < kBlockKeys / kDepth; at += kPieceGroups) {
      const VisibleKeys seen = KeysSeen(block, part, first_key + at * kDepth);
      const KeyGroups groups =
          GroupsSeen(seen, first_row, strip.last_row, kPieceKeys);
      if (groups.begin == groups.end) continue;
      float* scores = s_.scores[pipeline->pieces++ % 2];
      Scores(strip, at, groups, scores, &pipeline->softmax);
      pipeline->softmax.Finish(result_columns());
      const bool first = strip.begin == strip.end;
      if (first) strip.begin = at + groups.begin;
      pipeline->softmax =
          PieceSoftmax(seen, groups, at, scores, factor_, strip, &s_);
      strip.end = at + groups.end;
      if (first) Accumulate(&pipeline->previous(), &pipeline->softmax);
    }
    if (strip.begin != strip.end) ++pipeline->visits;
  }

  // Scores of a strip and a piece, with softmax rows of the piece before
  // between the steps of the product.
  void Scores(const Strip& strip, int64_t at, const KeyGroups& groups,
              float* scores, PieceSoftmax* softmax) const {
    const int64_t depth = plan_.depth / kDepth;
    const int64_t group = strip.group + at + groups.begin;
    const int64_t columns = 2 * (groups.end - groups.begin);
    const int64_t rows = RowsPerStep(TileSteps(strip.tiles(), columns, depth));
    TileGemm<false>(strip.tiles(), columns, depth,
                    {s_.query + strip.first_row * plan_.depth,
                     depth * kOperandTile, kOperandTile},
                    {packed_.keys + group * kDepth * plan_.depth,
                     depth * kOperandTile, kOperandTile},
                    {scores + 2 * groups.begin * kResultTile,
                     kPieceKeys / kSide * kResultTile, kResultTile, kSide},
                    [=]() HWY_ATTR { softmax->Run(rows); });
    if (cap_ > 0) CapPiece(strip.tiles(), groups, scores);
  }

  void CapPiece(int64_t tiles, const KeyGroups& groups, float* scores) const {
    float* at = scores + 2 * groups.begin * kResultTile;
    for (int64_t i = 0; i < tiles; ++i, at += kPieceKeys * kSide) {
      CapScores(cap_, 2 * (groups.end - groups.begin) * kResultTile, at);
    }
  }

  // O += P V of what waits, with rows of `softmax`, if any, in between.
  void Accumulate(Strip* strip, PieceSoftmax* softmax) const {
    if (strip->begin == strip->end) return;
    bool& started = s_.started[strip->first_row / kStripRows];
    const int64_t groups = strip->end - strip->begin;
    const int64_t rows =
        RowsPerStep(TileSteps(strip->tiles(), result_columns(), groups));
    TileGemm(started, strip->tiles(), result_columns(), groups,
             {strip->probs + strip->begin * kOperandTile,
              kBlockKeys / kDepth * kOperandTile, kOperandTile},
             {packed_.values +
                  (strip->group + strip->begin) * kDepth * plan_.value_dim,
              kOperandTile, result_columns() * kOperandTile},
             {OutRow(strip->first_row), result_columns() * kResultTile,
              kResultTile, kSide},
             [=]() HWY_ATTR {
               if (softmax != nullptr) softmax->Run(rows);
             });
    started = true;
    strip->begin = strip->end;
  }
  // Enough for a strip.
  static int64_t RowsPerStep(int64_t steps) {
    return (kStripRows + steps - 1) / steps;
  }

  // Sums become lse; rows without keys get 0 and -inf.
  void FinishRows(const QueryBlock& block) const {
    int64_t r = 0;
    for (int64_t t = block.begin; t < block.end; ++t) {
      for (int64_t h = block.heads.begin; h < block.heads.end; ++h, ++r) {
        const float sum =
            _mm512_reduce_add_ps(_mm512_load_ps(s_.sum + r * kSide));
        const float by =
            !s_.started[r / kStripRows] || sum == 0 ? 0.f : 1 / sum;
        StoreOut(block.b, t, h, OutRow(r), by);
        if (out_.lse) {
          *out_.lse.Row<float>(block.b, t, h) =
              sum == 0 ? kMinusInfinity : (s_.shift[r] + std::log2(sum)) * kLn2;
        }
        if (out_.max_logits) {
          const float top =
              _mm512_reduce_max_ps(_mm512_load_ps(s_.top + r * kSide));
          *out_.max_logits.Row<float>(block.b, t, h) = top * factor_ * kLn2;
        }
      }
    }
  }

  // Zero where nothing was seen: what `out` holds then is not even a number.
  void StoreOut(int64_t b, int64_t t, int64_t h, const float* tiles,
                float by) const {
    const int64_t row = t - origin_.query, head = h - origin_.head;
    if (by == 0) {
      std::fill_n(s_.wide, value_dim_, 0.f);
      StoreRows(s_.wide, value_dim_, out_.out, b, row, 1, head, false);
      return;
    }
    StoreTileRow(tiles, kResultTile, _mm512_set1_ps(by), out_.out, b, row, head,
                 s_.wide);
  }

  const LocalInputs& in_;
  const LocalOutputs out_;
  const OutOrigin origin_;
  const Bf16ForwardPlan plan_;
  const Bf16ForwardKeys packed_;
  const Bf16ForwardScratch& s_;
  const int64_t value_dim_;
  float factor_, sign_;
  float cap_;  // of scores ahead of factor_; 0: none
};

// Packs the keys and values of all heads; `own(thread)` is a thread's scratch.
template <typename Own>
void PackAllKeys(const LocalInputs& in, const Bf16ForwardPlan& plan,
                 const Bf16ForwardKeys& packed, const Own& own) {
  ForEachKeyGroup(
      in.problem->threads, plan.heads, plan.groups,
      [&](int64_t head, int64_t group, int thread) HWY_ATTR {
        const Bf16ForwardScratch s = own(thread);
        Bf16SoftmaxForwardPass(in, {}, packed, s).PackGroup(head, group);
      });
}

}  // namespace HWY_NAMESPACE
}  // namespace rattn
HWY_AFTER_NAMESPACE();
#endif  // HWY_TARGET == HWY_AVX3

#endif  // include guard per target
