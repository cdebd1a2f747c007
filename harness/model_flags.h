// Flags of the verbs that describe a model without running it.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "harness/memory.h"

namespace rattn {

// Flags of the local layers that may be lists: each combination is a model.
struct LocalLists {
  std::vector<std::string> variants;
  std::vector<int64_t> windows;
};

struct ModelFlags {
  std::string model = "rattention-12b";
  LocalOverride local;
  std::string dtype = "bf16";

  // Adds MODEL, --variant and --window (both lists where `lists` is given),
  // --sinks, --pattern and --dtype.
  void AddTo(CLI::App& app, LocalLists* lists = nullptr);
  // The model with its local layers changed as asked. Throws UserError.
  ModelConfig Load() const;
  // The same for every combination; of several variants, those that take no
  // window or no sinks stand once, without.
  std::vector<ModelConfig> LoadAll(const LocalLists& lists) const;
  Dtype CacheDtype() const;  // throws UserError
};

// "30 local", "rattention, 512 keys".
std::string LayersText(const LayerKindMemory& kind);
std::string MixerText(const std::string& variant,
                      const std::optional<int64_t>& window_keys);

}  // namespace rattn
