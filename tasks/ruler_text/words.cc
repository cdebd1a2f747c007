#include "tasks/ruler_text/words.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "models/error.h"
#include "models/json_fields.h"
#include "models/text_lines.h"
#include "tasks/python_text.h"
#include "tasks/utf8_file.h"

namespace rattn {
namespace {

void SortUnique(std::vector<std::string>* words) {
  std::sort(words->begin(), words->end());
  words->erase(std::unique(words->begin(), words->end()), words->end());
}

// Keeps the order of the values, which JSON libraries lose, and has no limit
// on keys: the original file has some 370,000.
class StringValues : public nlohmann::json_sax<nlohmann::json> {
 public:
  bool null() override { return false; }
  bool boolean(bool) override { return false; }
  bool number_integer(number_integer_t) override { return false; }
  bool number_unsigned(number_unsigned_t) override { return false; }
  bool number_float(number_float_t, const string_t&) override { return false; }
  bool binary(binary_t&) override { return false; }
  bool string(string_t& value) override {
    values.push_back(std::move(value));
    return true;
  }
  bool start_object(size_t) override { return ++objects == 1; }
  bool key(string_t&) override { return true; }
  bool end_object() override { return true; }
  bool start_array(size_t) override { return false; }
  bool end_array() override { return false; }
  bool parse_error(size_t, const std::string&,
                   const nlohmann::detail::exception&) override {
    return false;
  }

  std::vector<std::string> values;
  int objects = 0;
};

}  // namespace

std::vector<std::string> ReadWordList(const std::string& path) {
  const std::string text = ReadUtf8File(path);
  std::vector<std::string> words;
  ForEachLine(text, [&](std::string_view line, int64_t) {
    // Some lines of the original lists end with a space.
    const std::string_view word = PythonStrip(line);
    if (!word.empty()) words.emplace_back(word);
  });
  if (words.empty()) {
    throw UserError(fmt::format("{}: no words; expected one a line", path));
  }
  return words;
}

std::vector<std::string> SortedUnion(
    const std::vector<std::vector<std::string>>& lists) {
  std::vector<std::string> words;
  for (const auto& list : lists) {
    words.insert(words.end(), list.begin(), list.end());
  }
  SortUnique(&words);
  return words;
}

std::vector<std::string> ReadEnglishWords(const std::string& path) {
  StringValues reader;
  if (!nlohmann::json::sax_parse(ReadTextFile(path), &reader) ||
      reader.values.empty()) {
    throw UserError(
        fmt::format("{}: expected one JSON object of strings", path));
  }
  return std::move(reader.values);
}

WordPairs::WordPairs(std::vector<std::string> adjectives,
                     std::vector<std::string> nouns)
    : nouns_(std::move(nouns)) {
  SortUnique(&nouns_);
  for (std::string& adjective : adjectives) adjective += '-';
  SortUnique(&adjectives);
  for (size_t i = 0; i < adjectives.size();) {
    size_t end = i + 1;
    while (end < adjectives.size() &&
           adjectives[end].starts_with(adjectives[i])) {
      ++end;
    }
    AddBlock({adjectives.begin() + i, adjectives.begin() + end});
    i = end;
  }
}

void WordPairs::AddBlock(const std::vector<std::string>& adjectives) {
  Block block{size_, adjectives.front(), {}};
  if (adjectives.size() == 1) {
    size_ += nouns_.size();
  } else {
    for (const std::string& adjective : adjectives) {
      for (const std::string& noun : nouns_) {
        block.pairs.push_back(adjective + noun);
      }
    }
    SortUnique(&block.pairs);
    size_ += block.pairs.size();
  }
  blocks_.push_back(std::move(block));
}

std::string WordPairs::at(size_t index) const {
  const auto after = std::upper_bound(
      blocks_.begin(), blocks_.end(), index,
      [](size_t value, const Block& block) { return value < block.first; });
  const Block& block = *std::prev(after);
  const size_t within = index - block.first;
  return block.pairs.empty() ? block.adjective + nouns_[within]
                             : block.pairs[within];
}

}  // namespace rattn
