// Byte-pair encoding as Hugging Face defines it: the characters of a word are
// merged in the order of the ranks of their pairs.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "models/tokenizer/component.h"
#include "models/tokenizer/merge_table.h"
#include "models/tokenizer/tokenizer_file.h"

namespace rattn {

class Bpe {
 public:
  // `component` is "model" of the file. Throws UserError: merges of unknown
  // pieces, ids that appear twice, a model of another type.
  Bpe(const TokenizerFile& file, const Component& component);

  // One above the largest id.
  int64_t size() const { return static_cast<int64_t>(pieces_.size()); }
  const std::string& piece(int32_t id) const { return pieces_[id]; }
  int32_t Find(std::string_view piece) const;  // -1: none

  // Words that were encoded before, for one text.
  using Cache = std::unordered_map<std::string, std::vector<int32_t>>;
  // Appends the ids of a word of valid UTF-8. O(n log n).
  void Encode(std::string_view word, Cache* cache,
              std::vector<int32_t>* ids) const;

 private:
  void ReadVocab(const TokenizerFile& file);
  void ReadMerges(const TokenizerFile& file);
  void ReadBytes();
  int32_t Known(const TokenizerFile& file, size_t merge,
                const std::string& piece) const;
  void EncodeAnew(std::string_view word, std::vector<int32_t>* ids) const;
  std::vector<int32_t> Characters(std::string_view word) const;
  std::string Affixed(std::string_view word, size_t begin, size_t end) const;
  int32_t CharacterId(std::string_view word, size_t begin, size_t end) const;
  bool AppendBytes(std::string_view character, std::vector<int32_t>* ids) const;

  std::vector<std::string> pieces_;  // by id; "" where the file has none
  std::unordered_map<std::string_view, int32_t> ids_;  // views of pieces_
  std::unique_ptr<MergeTable> merges_;
  std::array<int32_t, 128> ascii_;  // ids of single ASCII characters
  std::array<int32_t, 256> bytes_;  // ids of <0x00>..<0xFF>
  std::string prefix_, suffix_;     // of pieces that go on or end a word
  int32_t unk_ = -1;
  bool byte_fallback_ = false, fuse_unk_ = false, ignore_merges_ = false;
};

}  // namespace rattn
