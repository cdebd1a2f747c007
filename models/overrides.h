// Another window or mixer for a model whose weights stay as they are.
#pragma once

#include <cstdint>
#include <string>

#include "models/model_config.h"

namespace rattn {

struct MixerOverrides {
  int64_t window_keys = 0;  // 0 = as it is
  std::string variant{};    // of the catalog; "" = as it is, or swa if that
                            // takes no window and one is given
  int64_t sinks = -1;       // -1 = as it is
  // "local", "all", or "": the local layers if the model has any, else all.
  std::string layers{};
};

// Layers keep their positions. Throws UserError for what the variant refuses
// and for local layers that the model does not have.
ModelConfig WithOverrides(ModelConfig config, const MixerOverrides& overrides);

}  // namespace rattn
