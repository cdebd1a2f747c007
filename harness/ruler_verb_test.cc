#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "harness/byte_tokenizer_file.h"
#include "harness/program_test_util.h"

namespace rattn {
namespace {

using ::testing::HasSubstr;

TEST(RulerVerbTest, WritesDataOnceAndAgainWhenItsSettingsChange) {
  const TemporaryFolder folder;
  WriteByteTokenizer(folder.path());
  std::vector<std::string> call = {
      "ruler",       "--mode",    "fresh",  "--tasks",     "vt,fwe",
      "--lengths",   "2048",      "--data", folder.path(), "--tokenizer",
      folder.path(), "--samples", "2",      "--out",       folder / "out"};
  const Ended first = RunProgram(call);
  ASSERT_EQ(first.exit_code, 0) << first.err;
  EXPECT_THAT(first.out, HasSubstr("validation.jsonl written"));
  const std::string data = folder / "out/2048/data/vt/validation.jsonl";
  const std::string text = FileText(data);
  EXPECT_THAT(FileText(folder / "out/2048/data/vt/validation.json"),
              HasSubstr("\"mode\": \"fresh\""));
  EXPECT_THAT(RunProgram(call).out, HasSubstr("validation.jsonl is there"));
  // A damaged file is made again, as it was.
  std::ofstream(data, std::ios::app) << "x";
  EXPECT_THAT(RunProgram(call).out, HasSubstr("vt/validation.jsonl written"));
  EXPECT_EQ(FileText(data), text);
  call.insert(call.end(), {"--seed", "7"});
  EXPECT_THAT(RunProgram(call).out, HasSubstr("vt/validation.jsonl written"));
  EXPECT_NE(FileText(data), text);
}

TEST(RulerVerbTest, ScoresPredictionsOfAFolder) {
  const TemporaryFolder folder;
  std::filesystem::create_directories(folder / "4096/pred");
  std::ofstream(folder / "4096/pred/vt.jsonl")
      << "{\"index\": 0, \"pred\": \"A b\", \"outputs\": [\"a\", \"C\"]}\n";
  const Ended ended = RunProgram({"ruler", "--score", folder.path()});
  EXPECT_EQ(ended.exit_code, 0) << ended.err;
  EXPECT_THAT(ended.out, HasSubstr("mode official"));
  EXPECT_THAT(ended.out, HasSubstr("50.00"));
}

TEST(RulerVerbTest, MistakesAreNamed) {
  const Ended task =
      RunProgram({"ruler", "--tasks", "niah_singel_1", "--tokenizer", "x",
                  "--data", "x", "--out", "x"});
  EXPECT_EQ(task.exit_code, 2);
  EXPECT_THAT(task.err, HasSubstr("did you mean \"niah_single_1\""));
  const Ended flag = RunProgram({"ruler", "--tasks", "vt"});
  EXPECT_EQ(flag.exit_code, 2);
  EXPECT_THAT(flag.err, HasSubstr("--tokenizer is missing"));
  const Ended mode = RunProgram({"ruler", "--mode", "own"});
  EXPECT_EQ(mode.exit_code, 2);
  EXPECT_THAT(mode.err, HasSubstr("fresh"));
}

}  // namespace
}  // namespace rattn
