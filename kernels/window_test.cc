#include "kernels/window.h"

#include <gtest/gtest.h>

#include <vector>

#include "kernels/reference/branches.h"

namespace rattn {
namespace {

std::vector<LocalSpec> Locals() {
  std::vector<LocalSpec> locals = {{.kind = LocalKind::kNone},
                                   {.kind = LocalKind::kCausal}};
  for (int64_t window : {1, 2, 5, 17, 40}) {
    locals.push_back({.kind = LocalKind::kWindow, .window_keys = window});
    for (int64_t sinks : {0, 1, 4, 30}) {
      locals.push_back({.kind = LocalKind::kWindowSinks,
                        .window_keys = window,
                        .sinks = sinks});
    }
  }
  return locals;
}

TEST(Window, ARowSeesWKeysItselfIncluded) {
  const LocalSpec window = {.kind = LocalKind::kWindow, .window_keys = 3};
  EXPECT_EQ(WindowRange(10, 3), (KeyRange{8, 11}));
  EXPECT_EQ(WindowRange(1, 3), (KeyRange{0, 2}));
  EXPECT_TRUE(LocalVisible(window, 10, 8));
  EXPECT_FALSE(LocalVisible(window, 10, 7));
  EXPECT_FALSE(LocalVisible(window, 10, 11));
  EXPECT_EQ(ReceptiveField(32, 4096), 131041);
}

TEST(Window, PairsAreCounted) {
  for (const LocalSpec& local : Locals()) {
    for (int64_t length : {0, 1, 2, 7, 33}) {
      int64_t pairs = 0;
      for (int64_t i = 0; i < length; ++i) {
        for (int64_t j = 0; j < length; ++j) pairs += LocalVisible(local, i, j);
      }
      EXPECT_EQ(VisiblePairs(local, length), pairs);
    }
  }
}

TEST(Window, RangesAreTheMaskSeenFromBothSides) {
  constexpr int64_t kLength = 20;
  for (int64_t window :
       {int64_t{1}, int64_t{4}, int64_t{25}, kUnboundedWindow}) {
    const LocalSpec local = {.kind = LocalKind::kWindow, .window_keys = window};
    for (int64_t i = 0; i < kLength; ++i) {
      const KeyRange keys = WindowRange(i, window);
      const KeyRange queries = SeenByRange(i, window, kLength);
      for (int64_t j = 0; j < kLength; ++j) {
        EXPECT_EQ(j >= keys.begin && j < keys.end, LocalVisible(local, i, j));
        EXPECT_EQ(j >= queries.begin && j < queries.end,
                  LocalVisible(local, j, i));
      }
      const KeyRange block = BlockWindowRange(i, i + 3, window);
      EXPECT_EQ(block.begin, WindowRange(i, window).begin);
      EXPECT_EQ(block.end, WindowRange(i + 2, window).end);
    }
  }
}

TEST(Window, TheReferenceVisitsExactlyTheVisibleKeys) {
  for (const LocalSpec& local : Locals()) {
    if (local.kind == LocalKind::kNone) continue;
    for (int64_t i = -2; i < 45; ++i) {
      std::vector<int64_t> expected, visited;
      for (int64_t j = 0; j < 45; ++j) {
        if (LocalVisible(local, i, j)) expected.push_back(j);
      }
      reference::ForEachVisible(local, i,
                                [&](int64_t j) { visited.push_back(j); });
      EXPECT_EQ(visited, expected);
    }
  }
}

TEST(Window, SlotPositionsStopGrowingWhenTheCacheIsFull) {
  LocalSpec local = {.kind = LocalKind::kWindowSinks,
                     .window_keys = 8,
                     .sinks = 4,
                     .sink_positions = SinkPositions::kSlot};
  EXPECT_EQ(SinkQueryPosition(local, 5), 5);
  EXPECT_EQ(SinkQueryPosition(local, 11), 11);
  EXPECT_EQ(SinkQueryPosition(local, 12), 11);
  EXPECT_EQ(SinkQueryPosition(local, 1000), 11);
  local.sink_positions = SinkPositions::kTrue;
  EXPECT_EQ(SinkQueryPosition(local, 1000), 1000);
}

}  // namespace
}  // namespace rattn
