// `rattn apply`: one mixer on tensors from a file, through the same backends
// as everything else. The door for checks against other implementations.
//
// Inputs, any float dtype; B batch, S tokens, Hq and Hkv heads, D, Dv head
// dims, F features, Hs = Hkv or Hq (a state per query head):
//   q [B, Sq, Hq, D]   k [B, S, Hkv, D]   v [B, S, Hkv, Dv]
//   optional q_memory, k_memory (shapes of q, k), initial_state [B, Hs, F, Dv],
//   norm_local, norm_memory [Hq, Dv], sink_logit [Hq]
//   phase train: do [B, Sq, Hq, Dv], optional dfinal_state [B, Hs, F, Dv]
// Outputs:
//   o; final_state, with a memory
//   forward, train: max_logits, lse [B, Sq, Hq], with a local branch
//   train: o_local, o_memory (before their norms) and dX of every input X
//   (dinitial_state also where the start state was left out: it is zero then)
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "kernels/catalog.h"
#include "kernels/problem.h"

namespace rattn {

struct ApplyOptions {
  std::string variant;
  VariantParams params;
  std::string backend = "cpu";
  std::string phase = "forward";  // forward, train, extend or decode
  std::string dtype = "fp32";     // fp64, fp32 or bf16
  int64_t piece = 0;              // tokens of a piece of extend; 0 = all
  int threads = 1;
  Tiling tiling;
  double rope_theta = 0;                   // 0 = no RoPE
  std::string rope_layout = "half_split";  // or "interleaved"
  double local_scale = 0;                  // 0 = 1/sqrt(D)
  double memory_scale = 1;
  // Fields of the spec by name (kernels/catalog.h); empty keeps the variant's.
  std::string local, sink_positions, memory, feature_map, normalizer, reads,
      combine;
};

struct ApplyTensor {
  std::vector<int64_t> shape;
  std::vector<double> values;  // row-major
};
using ApplyTensors = std::map<std::string, ApplyTensor>;

struct ApplyResult {
  ApplyTensors outputs;
  std::vector<std::string> notes;  // one line each, for the user
};

// The mixer that the options describe. Throws UserError that names the field
// and the nearest known value.
MixerSpec ApplySpec(const ApplyOptions& options);

// Throws UserError that names the tensor, its shape and the expected one;
// RunError when memory does not suffice.
ApplyResult ApplyMixer(const ApplyOptions& options, const ApplyTensors& inputs);

// The same from file to file; outputs are fp32, or fp64 when the dtype is.
// Returns the notes.
std::vector<std::string> ApplyFile(const ApplyOptions& options,
                                   const std::string& in,
                                   const std::string& out);

}  // namespace rattn
