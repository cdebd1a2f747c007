#include "models/torch/prefix_tree.h"

#include <gtest/gtest.h>

#include <numeric>
#include <vector>

namespace rattn {
namespace {

std::vector<int32_t> Tokens(int64_t length) {
  std::vector<int32_t> tokens(length);
  std::iota(tokens.begin(), tokens.end(), 0);
  return tokens;
}

TEST(PrefixTree, PieceEndsCoverTheLengthInOrder) {
  for (const int64_t length : {1, 15, 16, 17, 64, 65, 700, 1500, 5000}) {
    for (const int64_t shareable : {int64_t{0}, length / 2, length - 1}) {
      const std::vector<int64_t> ends = PieceEnds(shareable, length);
      int64_t at = 0;
      for (const int64_t end : ends) {
        EXPECT_GT(end, at);
        EXPECT_LE(end - at, 512);
        at = end;
      }
      EXPECT_EQ(at, length);
    }
  }
  EXPECT_EQ(PieceEnds(90, 100), (std::vector<int64_t>{64, 80, 100}));
}

TEST(PrefixTree, CommonPrefixesExistOnce) {
  std::vector<int32_t> a = Tokens(700), b = a, c = a;
  b.push_back(1);
  c[650] = 9;
  PrefixTree tree;
  tree.Add(0, a, 699);
  tree.Add(1, b, 699);
  tree.Add(2, c, 699);
  EXPECT_EQ(tree.roots().size(), 1u);
  // a and b differ behind 688, c from the piece of token 650 on.
  EXPECT_EQ(tree.TokenCount(), 688 + 12 + 13 + (700 - 640));
}

TEST(PrefixTree, EqualInputsShareAllPieces) {
  const std::vector<int32_t> a = Tokens(100), b = a;
  PrefixTree tree;
  tree.Add(0, a, 99);
  tree.Add(1, b, 99);
  EXPECT_EQ(tree.TokenCount(), 100);
  size_t at = tree.roots()[0];
  while (!tree.node(at).children.empty()) at = tree.node(at).children[0];
  EXPECT_EQ(tree.node(at).requests, (std::vector<size_t>{0, 1}));
  EXPECT_EQ(tree.node(at).before, tree.node(at).tokens[0] - 1);
}

}  // namespace
}  // namespace rattn
