// config.json of a Hugging Face folder.
#include "models/hf_config.h"

#include "fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace rattn;
  Untrusted([&] {
    const HfModel model =
        ParseHfConfig(std::string(InputText(data, size)), "config.json", "x");
    CountParameters(model.config);
    ParseModelConfig(ToJson(model.config), "again");
  });
  return 0;
}
