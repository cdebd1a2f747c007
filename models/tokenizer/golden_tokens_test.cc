// Ids of real models. The tokenizers are looked for in $RATTN_TOKENIZERS
// (folders smol and gemma, as scripts/gguf_tokenizer.py writes them), the ids
// in $RATTN_SHARED or beside the source.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>

#include "models/json_fields.h"
#include "models/shared_test_util.h"
#include "models/tokenizer.h"

namespace rattn {
namespace {

class GoldenTokens : public ::testing::TestWithParam<std::string> {};

TEST_P(GoldenTokens, AreTheSame) {
  RATTN_SHARED_OR_SKIP(ids_file, "models/" + GetParam() + "_tokens.json");
  const char* tokenizers = std::getenv("RATTN_TOKENIZERS");
  if (tokenizers == nullptr) GTEST_SKIP() << "RATTN_TOKENIZERS is not set";
  const std::string folder = std::string(tokenizers) + "/" + GetParam();
  if (!std::filesystem::exists(folder)) GTEST_SKIP() << "no " << folder;

  const auto tokenizer = LoadTokenizer(folder);
  const Json file = SharedJson(ids_file);
  ASSERT_FALSE(file["strings"].empty());
  for (const Json& entry : file["strings"]) {
    const std::string text = entry["text"].get<std::string>();
    const auto ids = tokenizer->Encode(text, false);
    EXPECT_EQ(ids, entry["ids"].get<std::vector<int32_t>>())
        << entry["text"].dump();
    EXPECT_EQ(tokenizer->Decode(ids, false), text);
  }
}

INSTANTIATE_TEST_SUITE_P(Models, GoldenTokens,
                         ::testing::Values("smol", "gemma"),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace rattn
