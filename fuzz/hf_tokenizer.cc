// tokenizer.json \f a text \f tokenizer_config.json \f special_tokens_map.json
#include "fuzz/fuzz.h"
#include "models/scratch_folder.h"
#include "models/tokenizer.h"

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace rattn;
  static const ScratchFolder folder;
  std::vector<std::string_view> sections = Sections(InputText(data, size));
  sections.resize(4, "");
  folder.Write("tokenizer.json", sections[0]);
  folder.Write("tokenizer_config.json",
               sections[2].empty() ? "{}" : sections[2]);
  folder.Write("special_tokens_map.json",
               sections[3].empty() ? "{}" : sections[3]);
  Untrusted([&] {
    const auto tokenizer = LoadTokenizer(folder.path());
    std::vector<int32_t> ids = tokenizer->Encode(sections[1], true);
    ids.insert(ids.end(), {-1, 0, 1'000'000'000});
    tokenizer->Decode(ids, false);
    tokenizer->Decode(ids, true);
  });
  return 0;
}
