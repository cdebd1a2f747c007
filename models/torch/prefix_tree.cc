#include "models/torch/prefix_tree.h"

#include <algorithm>
#include <limits>

namespace rattn {
namespace {

constexpr size_t kNoParent = std::numeric_limits<size_t>::max();

// Far from the end large pieces, which compute fastest; towards it small ones,
// so that little of what requests have in common is computed twice.
struct Grid {
  int64_t step;
  int64_t distance;  // from the end of the shareable tokens
};
constexpr Grid kGrids[] = {{256, 1024}, {64, 0}, {16, 0}};
constexpr int64_t kLongestPiece = 512;  // of what cannot be shared

uint64_t Hash(uint64_t hash, int64_t value) {
  hash ^= static_cast<uint64_t>(value) + 0x9e3779b97f4a7c15u + (hash << 6) +
          (hash >> 2);
  return hash * 0x100000001b3u;
}

}  // namespace

std::vector<int64_t> PieceEnds(int64_t shareable, int64_t length) {
  std::vector<int64_t> ends;
  int64_t at = 0;
  for (const Grid& grid : kGrids) {
    const int64_t limit = std::min(shareable, length - 1) - grid.distance;
    while (at / grid.step * grid.step == at && at + grid.step <= limit) {
      at += grid.step;
      ends.push_back(at);
    }
  }
  while (at < length) {
    at = std::min(at + kLongestPiece, length);
    ends.push_back(at);
  }
  return ends;
}

size_t PrefixTree::Child(size_t parent, const PrefixNode& wanted) {
  uint64_t hash = Hash(Hash(0, static_cast<int64_t>(parent)), wanted.end);
  for (const int32_t token : wanted.tokens) hash = Hash(hash, token);
  const auto [begin, end] = by_hash_.equal_range(hash);
  for (auto at = begin; at != end; ++at) {
    const auto [its_parent, index] = at->second;
    if (its_parent == parent && nodes_[index].end == wanted.end &&
        std::ranges::equal(nodes_[index].tokens, wanted.tokens)) {
      return index;
    }
  }
  const size_t index = nodes_.size();
  nodes_.push_back(wanted);
  by_hash_.emplace(hash, std::pair{parent, index});
  (parent == kNoParent ? roots_ : nodes_[parent].children).push_back(index);
  return index;
}

void PrefixTree::Add(size_t request, std::span<const int32_t> inputs,
                     int64_t shareable) {
  size_t parent = kNoParent;
  int64_t begin = 0;
  for (const int64_t end :
       PieceEnds(shareable, static_cast<int64_t>(inputs.size()))) {
    PrefixNode wanted;
    wanted.begin = begin;
    wanted.end = end;
    wanted.tokens = inputs.subspan(begin, end - begin);
    wanted.before = begin == 0 ? -1 : inputs[begin - 1];
    parent = Child(parent, wanted);
    nodes_[parent].requests.push_back(request);
    begin = end;
  }
}

int64_t PrefixTree::TokenCount() const {
  int64_t count = 0;
  for (const PrefixNode& node : nodes_) count += node.end - node.begin;
  return count;
}

}  // namespace rattn
