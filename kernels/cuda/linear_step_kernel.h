// A step of the recurrent memory: o = phi(q) S for the query heads that share
// the state S. Tokens that the state lacks are taken in, so that it is read
// and written once, or only read, one by one (kernels/kv_cache.h). All fp32.
// A block works on 32 columns of one state, its warps on features in turn.
#pragma once

#include "kernels/cuda/exec.h"
#include "kernels/cuda/query_rows.h"
#include "kernels/cuda/warp_sums.h"
#include "kernels/mixer_spec.h"

namespace rattn::cuda {

template <typename T>
struct LinearStep {
  static constexpr const char* kName = "linear_step";
  static constexpr int kWarps = 8, kThreads = kWarps * kWarpSize;
  static constexpr int kBlocks = 3;
  static constexpr int kHeads = kWarps;  // query heads at a time
  static constexpr int kSharedBytes =
      kHeads * kThreads * static_cast<int>(sizeof(float));

  // Rows are phi(k), then v.
  struct Params {
    GlobalView<const float> q;        // phi(q) [B, 1, Hq, F]
    GlobalView<float> state;          // [B, Hs, F, Dv]
    GlobalView<const float> pending;  // [B, Hkv, rows, F + Dv] that wait
    GlobalView<const float> token;    // [B, Hkv, 0 or 1, F + Dv]
    GlobalView<const float> key_sum;  // optional [B, Hkv, F, 1]
    GlobalView<T> o;                  // optional [B, 1, Hq, Dv]
    GlobalView<float> o_wide;         // optional [B, 1, Hq, Dv]
    bool absorb = false;              // the state takes in all rows
    HeadRange heads;                  // query heads of the branch
    int row_group = 1;                // query heads that read one state
    int kv_group = 1;                 // query heads of a KV head
    int value_dim = 0;                // Dv
    float scale = 1;                  // of phi(q)
  };

  // Blocks along x: columns; y: states.
  template <class Exec>
  RATTN_FN static void Body(Exec& x, const Params& p) {
    Pass<Exec> pass(x, p);
    pass.Run();
  }

 private:
  template <class Exec>
  class Pass {
   public:
    RATTN_FN Pass(Exec& exec, const Params& params)
        : x(exec),
          p(params),
          b(x.block(2)),
          kv(x.block(1) * p.row_group / p.kv_group),
          column(x.block(0) * kWarpSize + x.lane()),
          features(static_cast<int>(p.state.shape[2])),
          rows(RowsOfGroup(x.block(1), p.row_group, p.heads, 1, 1)) {}

    RATTN_FN void Run() {
      bool absorb = p.absorb;
      const auto count = static_cast<int>(rows.count);
      for (int first = 0; first < count || absorb; first += kHeads) {
        const int heads = count - first < kHeads ? count - first : kHeads;
        ReadState(first, heads, absorb);
        absorb = false;
        x.Barrier();
        if (x.warp() < heads) FinishHead(first);
        x.Barrier();
      }
    }

   private:
    RATTN_FN Shared<float> Sums() const {
      return x.template SharedAt<float>(0, kHeads * kThreads);
    }

    // What the rows of a view add to element (f, column) of the state.
    RATTN_FN float Update(const GlobalView<const float>& view, int f) const {
      float sum = 0;
      for (int64_t i = 0; i < view.shape[2]; ++i) {
        sum += x.Load(view, b, kv, i, f) *
               x.Load(view, b, kv, i, features + column);
      }
      return sum;
    }

    RATTN_FN void ReadState(int first, int heads, bool absorb) {
      float sum[kHeads] = {};
      RATTN_UNROLL_BY(2)
      for (int f = x.warp(); f < features; f += kWarps) {
        if (column >= p.value_dim) continue;
        float s = x.Load(ReadOnly(p.state), b, x.block(1), f, column);
        if (absorb) {
          s += Update(p.pending, f) + Update(p.token, f);
          x.Store(p.state, b, x.block(1), f, column, s);
        }
        RATTN_UNROLL
        for (int r = 0; r < kHeads; ++r) {
          if (r < heads) {
            sum[r] += s * x.Load(p.q, b, 0, rows.Head(first + r), f);
          }
        }
      }
      RATTN_UNROLL
      for (int r = 0; r < kHeads; ++r) {
        x.StoreShared(Sums(), r * kThreads + x.thread(), sum[r]);
      }
    }

    // This warp's query head: what warps have read, rows that still wait, the
    // normalizer.
    RATTN_FN void FinishHead(int first) {
      const int64_t head = rows.Head(first + x.warp());
      float o = 0;
      for (int w = 0; w < kWarps; ++w) {
        o += x.LoadShared(Sums(),
                          x.warp() * kThreads + w * kWarpSize + x.lane());
      }
      if (!p.absorb) {
        o += Read(p.pending, head) + Read(p.token, head);
      }
      o *= p.scale;
      if (p.key_sum) {
        const auto sum = [&](int f) { return x.Load(p.key_sum, b, kv, f, 0); };
        o /= p.scale * Product(head, sum) +
             static_cast<float>(kNormalizerEpsilon);
      }
      if (column >= p.value_dim) return;
      if (p.o) x.Store(p.o, b, 0, head, column, x.template Round<T>(o));
      if (p.o_wide) x.Store(p.o_wide, b, 0, head, column, o);
    }

    RATTN_FN float Read(const GlobalView<const float>& view, int64_t head) {
      float sum = 0;
      for (int64_t i = 0; i < view.shape[2]; ++i) {
        const auto key = [&](int f) { return x.Load(view, b, kv, i, f); };
        const float weight = Product(head, key);
        if (column < p.value_dim) {
          sum += weight * x.Load(view, b, kv, i, features + column);
        }
      }
      return sum;
    }

    // phi(q) times a vector of features, in every lane.
    template <class Vector>
    RATTN_FN float Product(int64_t head, const Vector& vector) {
      float sum = 0;
      for (int f = x.lane(); f < features; f += kWarpSize) {
        sum += x.Load(p.q, b, 0, head, f) * vector(f);
      }
      return SumOfWarp(x, sum);
    }

    Exec& x;
    const Params& p;
    int b, kv, column, features;
    QueryRows rows;
  };
};

}  // namespace rattn::cuda
