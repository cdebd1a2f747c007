// Every component of tokenizer.json against Hugging Face's own results, which
// testdata/components.json holds.
#include <gmock/gmock.h>

#include "models/json_fields.h"
#include "models/source_folder.h"
#include "models/tokenizer.h"
#include "models/tokenizer/test_folder.h"

namespace rattn {
namespace {

const Json& Data() {
  static const Json data = ReadJsonFile(
      SourceFolder() / "models/tokenizer/testdata/components.json");
  return data;
}

class Components : public ::testing::TestWithParam<size_t> {
 protected:
  Components() : case_(Data()["cases"][GetParam()]) {
    Json file = case_["tokenizer"];
    for (const auto& [key, value] :
         Data()["models"][file["model"]["base"].get<std::string>()].items()) {
      file["model"][key] = value;
    }
    folder_.Write("tokenizer.json", file.dump());
    tokenizer_ = LoadTokenizer(folder_.path());
  }

  const Json& case_;
  TestFolder folder_;
  std::unique_ptr<Tokenizer> tokenizer_;
};

TEST_P(Components, AgreeWithHuggingFace) {
  const Json& texts = Data()["texts"];
  for (size_t i = 0; i < texts.size(); ++i) {
    SCOPED_TRACE(case_["name"].dump() + " of " + texts[i].dump());
    const Json& expected = case_["expected"][i];
    const auto ids = tokenizer_->Encode(texts[i].get<std::string>(), true);
    EXPECT_EQ(ids, expected[0].get<std::vector<int32_t>>());
    EXPECT_EQ(tokenizer_->Decode(ids, false), expected[1].get<std::string>());
    EXPECT_EQ(tokenizer_->Decode(ids, true), expected[2].get<std::string>());
  }
}

std::string NameOf(const ::testing::TestParamInfo<size_t>& info) {
  return Data()["cases"][info.param]["name"].get<std::string>();
}

INSTANTIATE_TEST_SUITE_P(Cases, Components,
                         ::testing::Range<size_t>(0, Data()["cases"].size()),
                         NameOf);

}  // namespace
}  // namespace rattn
