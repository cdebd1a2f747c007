#include "harness/pareto.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

namespace rattn {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

TEST(Pareto, FrontOfBytesAndQuality) {
  // bytes (lower), quality (higher)
  const std::vector<ParetoPoint> points = {
      {8, 0.9}, {4, 0.5}, {4, 0.7}, {16, 0.9}, {16, 1.0}, {2, 0.1}, {5, 0.6}};
  EXPECT_THAT(ParetoFront(points, Better::kLower, Better::kHigher),
              ElementsAre(5, 2, 0, 4));
}

TEST(Pareto, FrontOfSpeedAndLoss) {
  // tokens/s (higher), bits per byte (lower)
  const std::vector<ParetoPoint> points = {{100, 2}, {50, 1}, {90, 3}, {60, 1}};
  EXPECT_THAT(ParetoFront(points, Better::kHigher, Better::kLower),
              ElementsAre(0, 3));
}

TEST(Pareto, EdgeCases) {
  EXPECT_THAT(ParetoFront({}, Better::kLower, Better::kHigher), IsEmpty());
  EXPECT_THAT(ParetoFront({{1, 1}, {1, 1}}, Better::kLower, Better::kHigher),
              ElementsAre(0, 1));
  EXPECT_THAT(ParetoFront({{std::nan(""), 1}, {1, 0}, {1, std::nan("")}},
                          Better::kLower, Better::kHigher),
              ElementsAre(1));
}

TEST(Pareto, CostsWhoseBarsTouchAreEqual) {
  // tokens/s (higher), quality (higher): 12616 over 12576 is noise.
  const std::vector<ParetoPoint> points = {{12616, 0.5, 12000, 13000},
                                           {12576, 0.9, 12100, 12800},
                                           {14000, 0.4, 13900, 14100},
                                           {9000, 0.9, 8900, 9100}};
  EXPECT_THAT(ParetoFront(points, Better::kHigher, Better::kHigher),
              ElementsAre(2, 1));
}

bool Beats(const ParetoPoint& a, const ParetoPoint& b) {
  return a.x <= b.x && a.y >= b.y && (a.x < b.x || a.y > b.y);
}

TEST(Pareto, EqualsTheDefinitionOnRandomPoints) {
  for (uint64_t seed = 0; seed < 50; ++seed) {
    std::vector<ParetoPoint> points;
    for (uint64_t i = 0; i < 40; ++i) {
      const uint64_t bits = seed * 1000 + i;
      points.push_back({static_cast<double>(bits * 2654435761u % 13),
                        static_cast<double>(bits * 40503u % 11)});
    }
    std::vector<size_t> expected;
    for (size_t i = 0; i < points.size(); ++i) {
      if (std::none_of(points.begin(), points.end(), [&](const ParetoPoint& p) {
            return Beats(p, points[i]);
          })) {
        expected.push_back(i);
      }
    }
    EXPECT_THAT(ParetoFront(points, Better::kLower, Better::kHigher),
                testing::UnorderedElementsAreArray(expected));
  }
}

}  // namespace
}  // namespace rattn
