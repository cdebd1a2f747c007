// Tokens that are found in a text before the model sees it: special ones such
// as <bos>, and pieces that must never be cut.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "models/tokenizer/component.h"
#include "models/tokenizer/normalizer.h"
#include "models/tokenizer/regex.h"

namespace rattn {

struct AddedToken {
  std::string content;
  int32_t id = -1;
  bool special = false;      // left out of decoded text on request
  bool normalized = false;   // looked for in the normalized text
  bool single_word = false;  // only where no word goes on at either side
  bool lstrip = false;       // takes the white space before it
  bool rstrip = false;       // takes the white space behind it
};

// Bounds the work at one place of a text.
inline constexpr size_t kLongestContent = 1024;

// Reads the fields of AddedToken; the id must be below `id_limit`.
AddedToken ReadAddedToken(const Component& component, int64_t id,
                          int64_t id_limit);

struct Segment {
  ByteRange range;
  int32_t id = -1;  // of the token found there, -1 = plain text
};

// Finds, at every place, the longest of a set of tokens.
class AddedTokenFinder {
 public:
  // `content` may be the normalized form of the token's own.
  void Add(const AddedToken& token, const std::string& content);
  bool empty() const { return tokens_.empty(); }
  // `text` (valid UTF-8) as plain pieces and tokens, in order, none empty.
  std::vector<Segment> Split(std::string_view text) const;

 private:
  struct Found {
    int32_t token = -1;  // in tokens_
    size_t end = 0;
  };
  Found LongestAt(std::string_view text, size_t at) const;

  std::vector<AddedToken> tokens_;
  // A trie: (node, byte) to node; tokens by node.
  std::unordered_map<uint64_t, uint32_t> edges_;
  std::unordered_map<uint32_t, int32_t> ends_;
  uint32_t nodes_ = 1;
  bool begins_[256] = {};
};

}  // namespace rattn
