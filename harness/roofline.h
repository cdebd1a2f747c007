// Step-time model of decoding (paper, Fig. 7):
//   T_step = B * S_kv / BW + max(2 * B * P / F, P_size / BW)
// B sequences, S_kv bytes of cache touched per sequence and step, P parameters
// used per token, P_size bytes of weights read, F peak FLOP/s, BW bandwidth.
// Not modelled: attention's own arithmetic, the write of the new row,
// activations, launches, communication between devices, achieved shares of the
// peaks.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "harness/hardware.h"
#include "models/model_config.h"

namespace rattn {

// What a step moves of a linear memory's state.
enum class StateTraffic {
  kKvHead,         // fp32, one per KV head, read and written (this program)
  kQueryHead,      // fp32, one per query head, read and written (axlearn)
  kKvHeadReadBf16  // bf16, one per KV head, read only
};

struct StateTrafficName {
  StateTraffic traffic;
  std::string_view name;     // flag value
  std::string_view meaning;  // in words
};
std::span<const StateTrafficName> StateTrafficNames();
std::string_view Name(StateTraffic traffic);
// Throws UserError that names the nearest one.
StateTraffic ParseStateTraffic(const std::string& name);

struct StepOptions {
  int64_t context = 4096;
  int64_t batch = 1;
  Dtype dtype = Dtype::kBF16;  // of weights, keys and values
  StateTraffic traffic = StateTraffic::kKvHead;
};

struct StepTime {
  double cache_bytes = 0;   // touched, all sequences: B * S_kv
  double weight_bytes = 0;  // P_size; of experts only those that are used
  double flops = 0;         // 2 * B * P
  double cache_seconds = 0;
  double weight_seconds = 0;   // P_size / BW
  double compute_seconds = 0;  // 2 * B * P / F
  double seconds = 0;
  // Whether all weights and the caches fit into the memory.
  double resident_bytes = 0;
  bool fits = false;
};

// Throws UserError for a batch or context that is not above zero.
StepTime PredictStep(const ModelConfig& config, const Hardware& hardware,
                     const StepOptions& options);

}  // namespace rattn
