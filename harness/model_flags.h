// Flags of the verbs that describe a model without running it.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "harness/memory.h"

namespace rattn {

struct ModelFlags {
  std::string model = "rattention-12b";
  LocalOverride local;
  std::string dtype = "bf16";

  // Adds MODEL, --variant, --window (a list where `windows` is given), --sinks,
  // --pattern and --dtype.
  void AddTo(CLI::App& app, std::vector<int64_t>* windows = nullptr);
  // The model with its local layers changed as asked. Throws UserError.
  ModelConfig Load() const;
  Dtype CacheDtype() const;  // throws UserError
};

// "30 local", "rattention, 512 keys".
std::string LayersText(const LayerKindMemory& kind);
std::string MixerText(const std::string& variant,
                      const std::optional<int64_t>& window_keys);

}  // namespace rattn
