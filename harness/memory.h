// Cache memory of a model: the formula beside what a real allocation takes.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "models/model_config.h"

namespace rattn {

// How the measured bytes come about. kLayer: one layer of each kind is
// allocated and its bytes are multiplied by the number of such layers. kAll:
// all layers are held at the same time, as a running model holds them.
enum class MeasureMemory { kNone, kLayer, kAll };

struct MemoryOptions {
  int64_t context = 4096;      // tokens cached per sequence
  int64_t batch = 1;           // sequences
  Dtype dtype = Dtype::kBF16;  // of keys and values; states are fp32
  MeasureMemory measure = MeasureMemory::kLayer;
};

// Bytes of all layers of one kind, all sequences.
struct LayerKindMemory {
  std::string kind;  // "local" or "global"
  int64_t layers = 0;
  std::string variant;
  std::optional<int64_t> window_keys;      // where the variant takes one
  int64_t kv_bytes = 0;                    // by the formula
  int64_t state_bytes = 0;                 // one state per KV head
  int64_t state_bytes_per_query_head = 0;  // as the reference JAX code has it
  // Absent with a reason where nothing was allocated. A ring is allocated
  // for the window or, if that is less, the context; a growing cache in pages
  // of kPageTokens, so that a short sequence takes more than the formula says.
  std::optional<int64_t> measured_kv_bytes;
  std::optional<int64_t> measured_state_bytes;
  std::string reason;
};

struct ModelMemory {
  MemoryOptions options;
  std::vector<LayerKindMemory>
      kinds;  // local first; kinds without layers left out
  int64_t kv_bytes = 0;
  int64_t state_bytes = 0;
  int64_t state_bytes_per_query_head = 0;
  std::optional<int64_t> measured_kv_bytes;
  std::optional<int64_t> measured_state_bytes;
  std::string reason;
  // The same model with full causal attention in every layer.
  int64_t full_kv_bytes = 0;
  // Tokens that reach the last one through the windows alone; absent where a
  // layer sees everything or keeps a memory of what left its window.
  std::optional<int64_t> receptive_field;
  // Pieces of a prompt of `context` tokens, each as long as the window.
  std::optional<int64_t> prefill_chunks;
};

// Throws UserError for sizes that are not above zero or overflow.
ModelMemory ComputeMemory(const ModelConfig& config,
                          const MemoryOptions& options);

// 100 * (1 - used / full).
double SavedPercent(double used, double full);

// What the memory and roofline verbs let a user change about a model; empty
// values keep the config's.
struct LocalOverride {
  std::string variant = {};
  std::optional<int64_t> window_keys = {};
  std::optional<int64_t> sinks = {};
  std::vector<std::string> pattern = {};
};
// Throws UserError: no local layers, unknown variant (with the nearest one), a
// window that is missing or that the variant does not take.
ModelConfig WithLocal(ModelConfig config, const LocalOverride& change);

}  // namespace rattn
