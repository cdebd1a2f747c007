// A gradient as the caller wants it: the sum of up to three fp32 parts, those
// behind a rotation turned back (prepare_kernel.h), rounded once.
#pragma once

#include "kernels/cuda/exec.h"
#include "kernels/cuda/prepare_kernel.h"
#include "kernels/mixer_spec.h"

namespace rattn::cuda {

template <typename T>
struct FinishGradient {
  static constexpr const char* kName = "finish_gradient";
  static constexpr int kThreads = 128, kBlocks = 4;
  static constexpr int kMost = 3;

  struct Part {
    GlobalView<const float> x;  // [B, T, H, at least D]; absent: no such part
    HeadRange heads{};          // others have no such part
    bool rope = false;
    int64_t last_position = 0;  // as PrepareRows
  };
  struct Params {
    Part part[kMost];
    GlobalView<T> out;  // [B, T, H, D]
    bool interleaved = false;
    int64_t first_position = 0;
    PackedSequences pack;
    double frequency[kMaxHeadDim / 2] = {};
  };

  template <class Exec>
  RATTN_FN static void Body(Exec& x, const Params& p) {
    const int64_t half = p.out.shape[3] / 2;
    const int64_t index =
        static_cast<int64_t>(x.block(0)) * kThreads + x.thread();
    const int64_t token = index / half, pair = index % half;
    if (token >= p.out.shape[1]) return;
    const int64_t first = p.interleaved ? 2 * pair : pair;
    const int64_t second = p.interleaved ? first + 1 : pair + half;
    const int64_t position =
        token - p.pack.FirstToken(x, token) + p.first_position;
    float cosine[kMost], sine[kMost];
    for (int i = 0; i < kMost; ++i) {
      Turn(x, p, p.part[i], position, pair, &sine[i], &cosine[i]);
    }
    for (int64_t b = 0; b < p.out.shape[0]; ++b) {
      for (int64_t h = 0; h < p.out.shape[2]; ++h) {
        float u = 0, v = 0;
        for (int i = 0; i < kMost; ++i) {
          const Part& part = p.part[i];
          if (!part.x || h < part.heads.begin || h >= part.heads.end) continue;
          const float a = x.Load(part.x, b, token, h, first);
          const float c = x.Load(part.x, b, token, h, second);
          u += a * cosine[i] + c * sine[i];
          v += c * cosine[i] - a * sine[i];
        }
        x.Store(p.out, b, token, h, first, x.template Round<T>(u));
        x.Store(p.out, b, token, h, second, x.template Round<T>(v));
      }
    }
  }

 private:
  template <class Exec>
  RATTN_FN static void Turn(Exec& x, const Params& p, const Part& part,
                            int64_t position, int64_t pair, float* sine,
                            float* cosine) {
    double s = 0, c = 1;
    if (part.rope) {
      if (position > part.last_position) position = part.last_position;
      x.SinCos(static_cast<double>(position) * p.frequency[pair], &s, &c);
    }
    *sine = static_cast<float>(s);
    *cosine = static_cast<float>(c);
  }
};

}  // namespace rattn::cuda
