#include "harness/text_format.h"

#include <gtest/gtest.h>

#include <cmath>

namespace rattn {
namespace {

TEST(TextFormat, Numbers) {
  EXPECT_EQ(WithCommas(131041), "131,041");
  EXPECT_EQ(WithCommas(999), "999");
  EXPECT_EQ(WithCommas(-1000), "-1,000");
  EXPECT_EQ(WithCommas(1234567890), "1,234,567,890");
  EXPECT_EQ(FormatNumber(0.98765, 3), "0.988");
  EXPECT_EQ(FormatNumber(56.25), "56.25");
  EXPECT_EQ(FormatNumber(1500, 2), "1500");
  EXPECT_EQ(FormatNumber(1.0), "1");
  EXPECT_EQ(FormatNumber(std::nan("")), "n/a");
}

TEST(TextFormat, Units) {
  EXPECT_EQ(FormatBytes(0), "0 B");
  EXPECT_EQ(FormatBytes(999), "999 B");
  EXPECT_EQ(FormatBytes(1536), "1.5 KiB");
  EXPECT_EQ(FormatBytes(512.0 * 1024 * 1024), "512 MiB");
  EXPECT_EQ(FormatBytes(16.0 * 1024 * 1024 * 1024), "16 GiB");
  EXPECT_EQ(FormatSi(1234567, "tokens/s"), "1.23 Mtokens/s");
  EXPECT_EQ(FormatSi(0.00125, "s"), "1.25 ms");
  EXPECT_EQ(FormatSi(3, "s"), "3 s");
}

TEST(TextFormat, TablesAlignAndEscape) {
  TextTable table({"name", "value"});
  table.Add({"a", "1"});
  table.Add({"π|b", "23.5"});
  EXPECT_EQ(table.Plain(), "name  value\na         1\nπ|b    23.5\n");
  EXPECT_EQ(table.Markdown(),
            "| name | value |\n| :-- | --: |\n| a | 1 |\n| π\\|b | 23.5 |\n");
}

}  // namespace
}  // namespace rattn
