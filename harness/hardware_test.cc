#include "harness/hardware.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "models/config_files.h"
#include "models/error.h"
#include "models/json_fields.h"

namespace rattn {
namespace {

using testing::HasSubstr;

TEST(Hardware, EveryShippedFileReadsBackAsWritten) {
  const auto names = ListConfigs("hardware");
  ASSERT_GE(names.size(), 5u);
  for (const std::string& name : names) {
    SCOPED_TRACE(name);
    const Hardware hardware = LoadHardware(name);
    EXPECT_FALSE(hardware.source.empty());
    const Json file = ReadJsonFile(FindConfig("hardware", name));
    const Json written = ParseJsonText(ToJson(hardware), name);
    ASSERT_EQ(written.size(), file.size());
    for (const auto& [key, value] : file.items()) {
      EXPECT_EQ(written.at(key), value) << key;
    }
  }
}

TEST(Hardware, TheStepTimeModelsMachineIsThePapers) {
  const Hardware h100 = LoadHardware("h100-sxm");
  EXPECT_EQ(h100.bf16_flops, 989e12);
  EXPECT_EQ(h100.memory_bandwidth, 3.35e12);
}

std::string ErrorOf(const std::string& text) {
  try {
    ParseHardware(text, "hw.json");
  } catch (const UserError& e) {
    return e.what();
  }
  return "";
}

TEST(Hardware, RefusesMissingUnknownAndImpossibleFigures) {
  const std::string good =
      R"({"name": "x", "source": "y", "bf16_flops": 1, "memory_bandwidth": 1,
          "memory_bytes": 1)";
  EXPECT_EQ(ErrorOf(good + "}"), "");
  EXPECT_THAT(ErrorOf(good + R"(, "bf16_flop": 1})"),
              HasSubstr("did you mean \"bf16_flops\"?"));
  EXPECT_THAT(ErrorOf(good + R"(, "fp32_flops": -1})"),
              HasSubstr("\"fp32_flops\" must be above 0"));
  EXPECT_THAT(ErrorOf(R"({"name": "x"})"), HasSubstr("is missing"));
  EXPECT_THAT(ErrorOf("{"), HasSubstr("not valid JSON"));
}

}  // namespace
}  // namespace rattn
