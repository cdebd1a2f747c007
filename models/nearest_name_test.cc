#include "models/nearest_name.h"

#include <gtest/gtest.h>

namespace rattn {
namespace {

TEST(NearestName, CountsEdits) {
  EXPECT_EQ(EditDistance("", ""), 0);
  EXPECT_EQ(EditDistance("", "abc"), 3);
  EXPECT_EQ(EditDistance("abc", "abc"), 0);
  EXPECT_EQ(EditDistance("abc", "acb"), 1);  // neighbours swapped
  EXPECT_EQ(EditDistance("kitten", "sitting"), 3);
  EXPECT_EQ(EditDistance("Window-Keys", "window_keys"), 0);
}

TEST(NearestName, PicksTheFirstOfTheNearest) {
  const std::vector<std::string> names = {"rattention", "rla", "swa", "full"};
  EXPECT_EQ(NearestName("ratention", names), "rattention");
  EXPECT_EQ(NearestName("sw", names), "swa");
  EXPECT_EQ(NearestName("zzz", {"aaa", "bbb"}), "aaa");
  EXPECT_EQ(NearestName("swa", {}), "");
  EXPECT_EQ(NearestHint("swa", {}), "");
  EXPECT_EQ(NearestHint("fulll", names), "; did you mean \"full\"?");
}

TEST(NearestName, TakesNamesOfAnyLength) {
  EXPECT_EQ(NearestName(std::string(1 << 20, 'x'), {"swa"}), "swa");
}

}  // namespace
}  // namespace rattn
