#include "models/text_lines.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

namespace rattn {
namespace {

using Lines = std::vector<std::pair<std::string, int64_t>>;

Lines LinesOf(std::string_view text) {
  Lines lines;
  ForEachLine(text, [&](std::string_view line, int64_t number) {
    lines.emplace_back(line, number);
  });
  return lines;
}

TEST(TextLines, AreNumberedFromOneAndKeepEmptyOnes) {
  EXPECT_EQ(LinesOf("a\n\nb\n"), (Lines{{"a", 1}, {"", 2}, {"b", 3}}));
  EXPECT_EQ(LinesOf("\n"), (Lines{{"", 1}}));
}

TEST(TextLines, TheLastMayLackItsEnd) {
  EXPECT_EQ(LinesOf("a\nb"), (Lines{{"a", 1}, {"b", 2}}));
  EXPECT_EQ(LinesOf(""), Lines());
}

}  // namespace
}  // namespace rattn
