#include "kernels/nearest_name.h"

#include <gtest/gtest.h>

namespace rattn {
namespace {

TEST(NearestName, PicksTheFirstOfTheNearest) {
  const std::vector<std::string> names = {"rattention", "rla", "swa", "full"};
  EXPECT_EQ(NearestName("ratention", names), "rattention");
  EXPECT_EQ(NearestName("sw", names), "swa");
  EXPECT_EQ(NearestName("zzz", {"aaa", "bbb"}), "aaa");
  EXPECT_EQ(NearestName("swa", {}), "");
  EXPECT_EQ(NearestHint("swa", {}), "");
  EXPECT_EQ(NearestHint("fulll", names), "; did you mean \"full\"?");
}

TEST(NearestName, SwapsCaseAndSeparatorsAreCheap) {
  EXPECT_EQ(NearestName("salt", {"sale", "slat"}), "sale");
  EXPECT_EQ(NearestName("kesy", {"kexx", "keys"}), "keys");
  EXPECT_EQ(NearestName("Window-Keys", {"window", "window_keys"}),
            "window_keys");
}

TEST(NearestName, AbbreviationsAreNear) {
  EXPECT_EQ(NearestName("before", {"none", "before_rope"}), "before_rope");
}

TEST(NearestName, WhatIsNearNothingGetsTheList) {
  EXPECT_EQ(NearestHint("nope", {"full", "swa"}), "; there are full, swa");
}

TEST(NearestName, TakesNamesOfAnyLength) {
  EXPECT_EQ(NearestName(std::string(1 << 20, 'x'), {"swa"}), "swa");
}

}  // namespace
}  // namespace rattn
