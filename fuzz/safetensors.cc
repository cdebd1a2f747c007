// A safetensors file.
#include "models/safetensors.h"

#include "fuzz/fuzz.h"
#include "models/scratch_folder.h"

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace rattn;
  static const ScratchFolder folder;
  folder.Write("x.safetensors", InputText(data, size));
  Untrusted([] {
    const SafeTensorsFile file(folder.PathOf("x.safetensors"));
    for (const auto& [name, tensor] : file.tensors()) {
      tensor.ToDoubles();
      tensor.ToFloats();
    }
    file.Get("?");
  });
  return 0;
}
