// Requests cut into pieces, of which common ones exist once: the plan by which
// a scoring model computes common prefixes once.
#pragma once

#include <cstdint>
#include <span>
#include <unordered_map>
#include <vector>

namespace rattn {

// Where inputs of `length` tokens are cut, the length last. A function of the
// request alone, so that a request's arithmetic does not depend on others.
// Tokens before `shareable` can be common to requests, so cuts lie dense
// towards its end.
std::vector<int64_t> PieceEnds(int64_t shareable, int64_t length);

struct PrefixNode {
  int64_t begin = 0, end = 0;       // positions of its tokens
  std::span<const int32_t> tokens;  // of the piece; the caller's memory
  int32_t before = -1;              // the token ahead of them
  std::vector<size_t> children;     // indices of nodes
  std::vector<size_t> requests;     // that run through it
};

class PrefixTree {
 public:
  // Adds the path of `request`, whose `inputs` outlive the tree.
  void Add(size_t request, std::span<const int32_t> inputs, int64_t shareable);

  const PrefixNode& node(size_t index) const { return nodes_[index]; }
  const std::vector<size_t>& roots() const { return roots_; }
  int64_t TokenCount() const;  // of all nodes: what is computed

 private:
  size_t Child(size_t parent, const PrefixNode& wanted);

  std::vector<PrefixNode> nodes_;
  std::vector<size_t> roots_;
  std::unordered_multimap<uint64_t, std::pair<size_t, size_t>> by_hash_;
};

}  // namespace rattn
