// Whatever happens to a file of a checkpoint, reading it succeeds or says in
// one line what is wrong.
#include <gtest/gtest.h>

#include <cstring>

#include "models/damage.h"
#include "models/json_fields.h"
#include "models/safetensors.h"
#include "models/source_folder.h"
#include "models/tokenizer/test_folder.h"
#include "models/tokenizer/test_sentencepiece.h"

namespace rattn {
namespace {

void UseTokenizer(const std::string& folder) {
  const auto tokenizer = LoadTokenizer(folder);
  std::vector<int32_t> ids = tokenizer->Encode("<s>ab \n\nb\u00e9 12", true);
  ids.insert(ids.end(), {-1, 0, 1'000'000'000});
  tokenizer->Decode(ids, false);
}

TEST(DamagedFilesTest, TokenizerJson) {
  const Json data = ReadJsonFile(SourceFolder() /
                                 "models/tokenizer/testdata/components.json");
  const TestFolder folder;
  for (const Json& item : data["cases"]) {
    SCOPED_TRACE(item["name"].dump());
    Json file = item["tokenizer"];
    const std::string base = file["model"]["base"].get<std::string>();
    file["model"].update(data["models"][base]);
    ReadDamaged(file.dump(), 40, [&](const std::string& bytes) {
      folder.Write("tokenizer.json", bytes);
      UseTokenizer(folder.path());
    });
    // Most of the file is vocabulary; what is beside it is damaged here.
    ReadDamaged(item["tokenizer"].dump(), 100, [&](const std::string& bytes) {
      Json settings = Json::parse(bytes, nullptr, false);
      if (!settings.is_object()) throw UserError("no JSON");
      if (settings.contains("model") && settings["model"].is_object()) {
        settings["model"].update(data["models"][base]);
      }
      folder.Write(
          "tokenizer.json",
          settings.dump(-1, ' ', false, Json::error_handler_t::replace));
      UseTokenizer(folder.path());
    });
  }
}

TEST(DamagedFilesTest, TokenizerModel) {
  const TestFolder folder;
  ReadDamaged(test_sentencepiece::Model(), 1500, [&](const std::string& bytes) {
    folder.Write("tokenizer.model", bytes);
    UseTokenizer(folder.path());
  });
}

TEST(DamagedFilesTest, SafeTensors) {
  const TestFolder folder;
  const std::string header =
      R"({"__metadata__":{"a":"b"},"x":{"dtype":"F32","shape":[2,3],)"
      R"("data_offsets":[0,24]},"y":{"dtype":"BF16","shape":[4],)"
      R"("data_offsets":[24,32]}})";
  const uint64_t length = header.size();
  std::string bytes(sizeof length, '\0');
  std::memcpy(bytes.data(), &length, sizeof length);
  bytes += header + std::string(32, '\x3f');
  ReadDamaged(bytes, 2000, [&](const std::string& damaged) {
    folder.Write("x.safetensors", damaged);
    const SafeTensorsFile file(folder.path() + "/x.safetensors");
    for (const auto& [name, tensor] : file.tensors()) tensor.ToDoubles();
  });
}

}  // namespace
}  // namespace rattn
