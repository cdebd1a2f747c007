// Rows in the form that tiles are copied from: contiguous, padded with zeros
// to the kernel's head dim, keys and queries rotated (RoFormer, arXiv
// 2104.09864, section 3.2), or turned back where frequencies are negative. A
// thread turns one pair of elements of one token in all heads, so that an
// angle, in fp64, is computed once.
#pragma once

#include "kernels/cuda/exec.h"
#include "kernels/cuda/packed_sequences.h"
#include "kernels/problem.h"

namespace rattn::cuda {

inline constexpr int kMaxHeadDim = 256;

template <typename T>
struct PrepareRows {
  static constexpr const char* kName = "prepare_rows";
  static constexpr int kThreads = 128, kBlocks = 8;

  struct Params {
    GlobalView<const T> in;  // [B, T, H, D]
    GlobalView<T> out;       // [B, T, H, padded D]
    bool rope = false;
    bool interleaved = false;
    // Token t stands at min(t + first_position, last_position).
    int64_t first_position = 0;
    int64_t last_position = 0;
    PackedSequences pack;     // of a sequence, token 0 is its first
    int64_t one_column = -1;  // even; this and the next are filled with ones
    double frequency[kMaxHeadDim / 2] = {};  // radians per position, by pair
  };

  template <class Exec>
  RATTN_FN static void Body(Exec& x, const Params& p) {
    const int64_t pairs = p.out.shape[3] / 2;
    const int64_t index =
        static_cast<int64_t>(x.block(0)) * kThreads + x.thread();
    const int64_t token = index / pairs, pair = index % pairs;
    if (token >= p.out.shape[1]) return;
    const int64_t half = p.in.shape[3] / 2;
    const bool split = p.rope && !p.interleaved && pair < half;
    const int64_t first = split ? pair : 2 * pair;
    const int64_t second = split ? pair + half : first + 1;
    double sine = 0, cosine = 1;
    if (p.rope && pair < half) {
      int64_t position = token - p.pack.FirstToken(x, token) + p.first_position;
      if (position > p.last_position) position = p.last_position;
      x.SinCos(static_cast<double>(position) * p.frequency[pair], &sine,
               &cosine);
    }
    const auto s = static_cast<float>(sine), c = static_cast<float>(cosine);
    for (int64_t b = 0; b < p.out.shape[0]; ++b) {
      for (int64_t h = 0; h < p.out.shape[2]; ++h) {
        float u = 0, v = 0;
        if (pair < half) {
          u = x.Widen(x.Load(p.in, b, token, h, first));
          v = x.Widen(x.Load(p.in, b, token, h, second));
        }
        if (first == p.one_column) u = v = 1;
        x.Store(p.out, b, token, h, first, x.template Round<T>(u * c - v * s));
        x.Store(p.out, b, token, h, second, x.template Round<T>(u * s + v * c));
      }
    }
  }
};

}  // namespace rattn::cuda
