// Word lists as RULER draws from them.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace rattn {

// One word a line, stripped; entries may hold spaces or hyphens.
std::vector<std::string> ReadWordList(const std::string& path);

// Sorted by code point, each word once.
std::vector<std::string> SortedUnion(
    const std::vector<std::vector<std::string>>& lists);

// The values of a JSON object of strings, in the order of the file.
std::vector<std::string> ReadEnglishWords(const std::string& path);

// sorted({adjective-noun}) of all pairs, without holding them: with RULER's
// lists they are six million.
class WordPairs {
 public:
  WordPairs(std::vector<std::string> adjectives,
            std::vector<std::string> nouns);
  size_t size() const { return size_; }
  std::string at(size_t index) const;

 private:
  // Adjectives whose pairs lie among each other ("well", "well-known") make
  // one block, which is held; a block of one is not.
  struct Block {
    size_t first = 0;  // index of its first pair
    std::string adjective;
    std::vector<std::string> pairs;  // empty for a block of one adjective
  };
  void AddBlock(const std::vector<std::string>& adjectives);

  std::vector<std::string> nouns_;
  std::vector<Block> blocks_;
  size_t size_ = 0;
};

}  // namespace rattn
