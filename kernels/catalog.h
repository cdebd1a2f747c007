// The catalog: the one list of named variants. Listing, help, legends, tests
// and plans iterate over it; no other file switches on a variant's name.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "kernels/mixer_spec.h"

namespace rattn {

struct Variant {
  std::string_view name;     // "rattention"
  std::string_view summary;  // one line
  std::string_view source;   // paper, section
  MixerSpec spec;            // window_keys are filled in by MakeSpec
  bool takes_window;         // whether a window is one of its parameters
  bool ablation;             // one-field edit of another variant
};

std::span<const Variant> Catalog();
const Variant* FindVariant(std::string_view name);

// What a user can set on a variant; 0 or -1 keeps the catalog's value.
struct VariantParams {
  int64_t window_keys = 0;
  int64_t sinks = -1;
};

// The spec of `variant` with its parameters set. Returns false with a reason
// (window missing, zero or negative; sinks on a variant without sinks).
bool MakeSpec(const Variant& variant, const VariantParams& params,
              MixerSpec* spec, std::string* reason);

// "window(512) + linear(softmax, outside_window) | sum_of_norms"
std::string Describe(const MixerSpec& spec);

// Names of spec values, as flags, JSON and prose spell them.
std::string_view Name(LocalKind kind);
std::string_view Name(SinkPositions positions);
std::string_view Name(MemoryKind kind);
std::string_view Name(FeatureMap map);
std::string_view Name(Normalizer normalizer);
std::string_view Name(MemoryReads reads);
std::string_view Name(Combine combine);

}  // namespace rattn
