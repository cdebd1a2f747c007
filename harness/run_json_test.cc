#include "harness/run_json.h"

#include <gtest/gtest.h>

namespace rattn {
namespace {

Json Session(const std::string& started, const std::string& machine) {
  return {{"started", started},
          {"finished", "later"},
          {"machine", {{"name", machine}}},
          {"build", "b"},
          {"argv", {"rattn"}},
          {"plan", started}};
}

TEST(RunJson, SessionsAddUpAndTheFirstStartStays) {
  const Json first = MergeRunJson(nullptr, Session("1", "a"), 5);
  EXPECT_EQ(first["sessions"].size(), 1u);
  const Json second = MergeRunJson(first, Session("2", "b"), 3);
  EXPECT_EQ(second["started"], "1");
  EXPECT_EQ(second["machine"]["name"], "b");
  ASSERT_EQ(second["sessions"].size(), 2u);
  EXPECT_EQ(second["sessions"][1]["cells"], 3);
}

TEST(RunJson, ASessionThatRanNothingMadeNothing) {
  const Json first = MergeRunJson(nullptr, Session("1", "a"), 5);
  const Json second = MergeRunJson(first, Session("2", "b"), 0);
  EXPECT_EQ(second["machine"]["name"], "a");
  EXPECT_EQ(second["sessions"], first["sessions"]);
  EXPECT_EQ(second["plan"], "2");  // what is asked for now
}

}  // namespace
}  // namespace rattn
