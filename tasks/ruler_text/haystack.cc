#include "tasks/ruler_text/haystack.h"

#include <fmt/format.h>

#include <algorithm>

#include "models/error.h"
#include "models/json_fields.h"
#include "models/sha256.h"
#include "tasks/python_text.h"
#include "tasks/utf8_file.h"

namespace rattn {
namespace {

// re.sub(r"\s+", " ", text).
std::string SqueezeSpaces(std::string_view text) {
  std::u32string squeezed;
  for (const char32_t c : DecodeUtf8(text)) {
    if (!IsPythonSpace(c)) {
      squeezed += c;
    } else if (squeezed.empty() || squeezed.back() != U' ') {
      squeezed += U' ';
    }
  }
  return EncodeUtf8(squeezed);
}

std::string CorpusText(const std::string& path) {
  std::string file = ReadUtf8File(path);
  if (!path.ends_with(".json")) return file;
  const Json json = ParseJsonText(file, path);
  if (!json.is_object() || !json.contains("text") ||
      !json["text"].is_string()) {
    throw UserError(fmt::format("{}: expected an object with 'text'", path));
  }
  return json["text"].get<std::string>();
}

// Byte offset of each code point, and the size of the text.
std::vector<size_t> CodePointOffsets(std::string_view text) {
  std::vector<size_t> offsets;
  for (size_t i = 0; i < text.size(); ++i) {
    if ((text[i] & 0xc0) != 0x80) offsets.push_back(i);
  }
  offsets.push_back(text.size());
  return offsets;
}

}  // namespace

Haystack::Haystack(std::string_view text) : text_(SqueezeSpaces(text)) {
  for (size_t at = text_.find(' '); at != text_.npos;
       at = text_.find(' ', at + 1)) {
    word_ends_.push_back(at);
  }
  word_ends_.push_back(text_.size());
  for (const SentenceRange& range : SplitSentences(text_)) {
    spans_.push_back({range.begin, range.end});
  }
}

Haystack Haystack::FromText(std::string_view text) {
  Haystack result(text);
  if (result.spans_.empty()) throw UserError("a haystack needs words");
  result.sha256_ = Sha256Hex(text);
  return result;
}

Haystack Haystack::Load(const std::string& path,
                        const std::string& sentence_table) {
  Haystack result(CorpusText(path));
  if (result.spans_.empty()) {
    throw UserError(fmt::format("{}: no words to hide needles in", path));
  }
  result.sha256_ = Sha256Hex(ReadTextFile(path));
  if (!sentence_table.empty()) result.ReadTable(sentence_table);
  return result;
}

void Haystack::ReadTable(const std::string& path) {
  const Json json = ReadJsonFile(path);
  const auto bad = [&](const char* what) {
    return UserError(fmt::format("{}: {}", path, what));
  };
  if (!json.is_object() || !json.contains("words") ||
      !json["words"].is_number_unsigned() || !json.contains("punkt") ||
      !json["punkt"].is_array() || !json.contains("text_sha256")) {
    throw bad("expected the keys words, text_sha256 and punkt");
  }
  const uint64_t covered = json["words"].get<uint64_t>();
  if (covered == 0 || covered > word_ends_.size()) {
    throw bad("covers more words than the haystack has");
  }
  const std::string_view text(text_.data(), word_ends_[covered - 1]);
  if (json["text_sha256"] != Sha256Hex(text)) {
    throw bad("the table is of another text than the haystack");
  }
  const std::vector<size_t> offsets = CodePointOffsets(text);
  std::vector<Span> spans;
  size_t end = 0;
  for (const Json& pair : json["punkt"]) {
    if (!pair.is_array() || pair.size() != 2 || !pair[0].is_number_unsigned() ||
        !pair[1].is_number_unsigned() || pair[0] >= pair[1] ||
        pair[0].get<size_t>() < end ||
        pair[1].get<size_t>() >= offsets.size()) {
      throw bad("'punkt' is no ascending list of [begin, end]");
    }
    end = pair[1].get<size_t>();
    spans.push_back({offsets[pair[0].get<size_t>()], offsets[end]});
  }
  if (spans.empty()) throw bad("no sentences");
  // The sentence that the table's text cuts off is taken from the rule.
  const size_t last = spans.back().begin;
  spans.pop_back();
  const auto rest = std::find_if(spans_.begin(), spans_.end(),
                                 [&](const Span& s) { return s.end > last; });
  if (rest != spans_.end()) rest->begin = last;
  spans.insert(spans.end(), rest, spans_.end());
  spans_ = std::move(spans);
  sentence_source_ = "punkt table";
}

size_t Haystack::WordBegin(int64_t word) const {
  return word == 0 ? 0 : word_ends_[word - 1] + 1;
}

int64_t Haystack::SentenceWord(int64_t sentence) const {
  return std::lower_bound(word_ends_.begin(), word_ends_.end(),
                          spans_[sentence].begin) -
         word_ends_.begin();
}

void Haystack::CutLap(int64_t first, int64_t end,
                      std::vector<std::string_view>* out) const {
  const std::string_view text = text_;
  const size_t from = WordBegin(first);
  const size_t to = word_ends_[end - 1];
  auto span = std::upper_bound(
      spans_.begin(), spans_.end(), from,
      [](size_t value, const Span& s) { return value < s.end; });
  for (; span != spans_.end() && span->begin < to; ++span) {
    const size_t begin = std::max(span->begin, from);
    const std::string_view sentence =
        PythonRStrip(text.substr(begin, std::min(span->end, to) - begin));
    if (!sentence.empty()) out->push_back(sentence);
  }
}

std::vector<std::string_view> Haystack::Cut(int64_t first,
                                            int64_t count) const {
  std::vector<std::string_view> result;
  first %= words();
  while (count > 0) {
    const int64_t end = std::min(first + count, words());
    CutLap(first, end, &result);
    count -= end - first;
    first = 0;
  }
  return result;
}

}  // namespace rattn
