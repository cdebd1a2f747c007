// rattn tokenize, as its users meet it.
#include <gmock/gmock.h>

#include "harness/program_test_util.h"
#include "harness/verbs.h"

namespace rattn {
namespace {

using ::testing::HasSubstr;

class TokenizeTest : public ::testing::Test {
 protected:
  TokenizeTest() {
    std::ofstream(folder_ / "tokenizer.json") << R"({
        "added_tokens": [{"id": 3, "content": "<s>", "special": true}],
        "decoder": {"type": "Fuse"},
        "model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2},
                  "merges": ["a b"]}})";
    std::ofstream(folder_ / "tokenizer_config.json")
        << R"({"bos_token": "<s>", "add_bos_token": true})";
  }
  Ended Run(std::vector<std::string> arguments) const {
    arguments.insert(arguments.begin(),
                     {"tokenize", "--tokenizer", folder_.path()});
    return RunProgram(arguments);
  }

  TemporaryFolder folder_;
};

TEST_F(TokenizeTest, PrintsIdsAndPieces) {
  const Ended ended = Run({"--text", "abb", "--json"});
  EXPECT_EQ(ended.exit_code, kExitDone) << ended.err;
  const Json json = Json::parse(ended.out);
  EXPECT_EQ(json["ids"], Json({3, 2, 1}));
  EXPECT_EQ(json["pieces"], Json({"<s>", "ab", "b"}));
  EXPECT_THAT(Run({"--text", "abb"}).out, HasSubstr("3 tokens"));
}

TEST_F(TokenizeTest, DecodesAndReadsLines) {
  EXPECT_THAT(Run({"--decode", "3,2,1"}).out, HasSubstr("\"<s>abb\""));
  EXPECT_THAT(Run({"--decode", "3,2,1", "--no-special"}).out,
              HasSubstr("\"abb\""));
  std::ofstream(folder_ / "lines") << "ab\n\"b\\na\"\n";
  const Ended ended =
      Run({"--file", folder_ / "lines", "--lines", "--json", "--no-special"});
  EXPECT_THAT(ended.out, HasSubstr("\"ids\":[2]"));
  EXPECT_THAT(ended.out, HasSubstr("\"ids\":[1,0]"));
}

TEST_F(TokenizeTest, MisuseIsOneLine) {
  for (const std::vector<std::string>& arguments :
       {std::vector<std::string>{},
        {"--text", "a", "--decode", "1"},
        {"--decode", "4"},
        {"--file", folder_ / "none"}}) {
    const Ended ended = Run(arguments);
    EXPECT_EQ(ended.exit_code, kExitMisuse) << ended.out;
    EXPECT_EQ(std::count(ended.err.begin(), ended.err.end(), '\n'), 1)
        << ended.err;
  }
}

}  // namespace
}  // namespace rattn
