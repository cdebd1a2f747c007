// A text of any length to hide needles in: the words of a corpus, repeated
// when they run out, cut into sentences.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace rattn {

class Haystack {
 public:
  // All white space becomes single spaces. `path`: a text file, or a JSON file
  // with the text under "text". `sentence_table` (may be empty) is a JSON file
  // {"words", "text_sha256", "punkt": [[begin, end], ..]} with the sentences
  // of the first words in code points; a rule cuts the rest. Throws UserErrors:
  // no words, a table of another text.
  static Haystack Load(const std::string& path,
                       const std::string& sentence_table);
  static Haystack FromText(std::string_view text);

  int64_t words() const { return static_cast<int64_t>(word_ends_.size()); }
  int64_t sentences() const { return static_cast<int64_t>(spans_.size()); }
  // The index of a sentence's first word.
  int64_t SentenceWord(int64_t sentence) const;
  // Words [first, first + count) of the endless repetition, as sentences; the
  // first and the last may be pieces of one.
  std::vector<std::string_view> Cut(int64_t first, int64_t count) const;

  const std::string& sha256() const { return sha256_; }
  // "punkt table" or "rule".
  std::string_view sentence_source() const { return sentence_source_; }

 private:
  struct Span {  // bytes of text_
    size_t begin = 0;
    size_t end = 0;
  };
  explicit Haystack(std::string_view text);
  void ReadTable(const std::string& path);
  size_t WordBegin(int64_t word) const;
  void CutLap(int64_t first, int64_t end,
              std::vector<std::string_view>* out) const;

  std::string text_;
  std::vector<size_t> word_ends_;
  std::vector<Span> spans_;
  std::string sha256_;
  std::string_view sentence_source_ = "rule";
};

// Byte ranges of the sentences of a text whose words stand between single
// spaces: after a full stop, question or exclamation mark with what closes it,
// unless an abbreviation or an initial ends with the full stop.
struct SentenceRange {
  size_t begin = 0;
  size_t end = 0;
};
std::vector<SentenceRange> SplitSentences(std::string_view text);

}  // namespace rattn
