// A tokenizer.model, whose first bytes are the text.
#include "fuzz/fuzz.h"
#include "models/scratch_folder.h"
#include "models/tokenizer.h"

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace rattn;
  static const ScratchFolder folder;
  const std::string_view model = InputText(data, size);
  folder.Write("tokenizer.model", model);
  Untrusted([&] {
    const auto tokenizer = LoadTokenizer(folder.path());
    const std::string text =
        "<s>ab \n\nb\u00e9 12" + std::string(model.substr(0, 256));
    std::vector<int32_t> ids = tokenizer->Encode(text, true);
    ids.insert(ids.end(), {-1, 0, 1'000'000'000});
    tokenizer->Decode(ids, false);
    tokenizer->Decode(ids, true);
  });
  return 0;
}
