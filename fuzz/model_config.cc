// A model config of our own, with another window.
#include "models/model_config.h"

#include "fuzz/fuzz.h"
#include "models/overrides.h"

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace rattn;
  Untrusted([&] {
    const ModelConfig config =
        ParseModelConfig(std::string(InputText(data, size)), "model.json");
    CountParameters(config);
    LayerProblem(config, config.layers - 1);
    CountParameters(WithOverrides(config, {.window_keys = 7}));
    ParseModelConfig(ToJson(config), "again");
  });
  return 0;
}
