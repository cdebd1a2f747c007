#include <algorithm>
#include <array>
#include <string>

#include "tasks/ruler_text/haystack.h"

namespace rattn {
namespace {

constexpr std::string_view kClosing = "\"')]}";
constexpr std::string_view kOpening = "\"'([{";
constexpr std::array<std::string_view, 32> kAbbreviations = {
    "mr",  "mrs", "ms",   "dr",   "st",   "prof", "gen", "col",
    "rev", "hon", "capt", "lt",   "sgt",  "jr",   "sr",  "vs",
    "etc", "cf",  "viz",  "vol",  "chap", "fig",  "pp",  "ed",
    "jan", "feb", "aug",  "sept", "oct",  "nov",  "dec", "messrs"};

bool IsLetter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}
bool IsUpper(char c) { return c >= 'A' && c <= 'Z'; }

// "J", "U.S", "i.e": letters one by one, the last full stop taken off.
bool IsInitials(std::string_view word) {
  if (word.size() % 2 == 0) return false;
  for (size_t i = 0; i < word.size(); ++i) {
    if (i % 2 == 0 ? !IsLetter(word[i]) : word[i] != '.') return false;
  }
  return !(word == "I");
}

bool IsAbbreviation(std::string_view word) {
  std::string lower(word);
  for (char& c : lower) {
    if (IsUpper(c)) c = static_cast<char>(c - 'A' + 'a');
  }
  return std::find(kAbbreviations.begin(), kAbbreviations.end(), lower) !=
         kAbbreviations.end();
}

// `word` as it stands between spaces, `next` what follows the space.
bool EndsSentence(std::string_view word, std::string_view next) {
  const size_t last = word.find_last_not_of(kClosing);
  if (last == word.npos) return false;
  if (word[last] == '?' || word[last] == '!') return true;
  if (word[last] != '.') return false;
  std::string_view stem = word.substr(0, last);
  if (stem.ends_with('.')) {  // an ellipsis
    const size_t first = next.find_first_not_of(kOpening);
    return first != next.npos && IsUpper(next[first]);
  }
  const size_t start = stem.find_last_of("-\"([{");
  if (start != stem.npos) stem.remove_prefix(start + 1);
  if (stem.starts_with('\'')) stem.remove_prefix(1);
  return !IsInitials(stem) && !IsAbbreviation(stem);
}

// Where a dash follows what closes a sentence, as in `facts!"--I`; else 0.
size_t EndBeforeDash(std::string_view word) {
  const size_t dash = word.find("--");
  if (dash == word.npos || dash == 0) return 0;
  const size_t last = word.find_last_not_of(kClosing, dash - 1);
  if (last == word.npos || last + 1 == dash) return 0;
  return word.find_first_of(".?!", last) == last ? dash : 0;
}

}  // namespace

std::vector<SentenceRange> SplitSentences(std::string_view text) {
  std::vector<SentenceRange> sentences;
  size_t begin = std::min(text.find_first_not_of(' '), text.size());
  size_t word = begin;
  while (word < text.size()) {
    const size_t end = std::min(text.find(' ', word), text.size());
    const size_t next = std::min(text.find_first_not_of(' ', end), text.size());
    if (const size_t dash = EndBeforeDash(text.substr(word, end - word))) {
      sentences.push_back({begin, word + dash});
      begin = word = word + dash;
    }
    if (next == text.size() ||
        EndsSentence(text.substr(word, end - word), text.substr(next, 8))) {
      sentences.push_back({begin, end});
      begin = next;
    }
    word = next;
  }
  return sentences;
}

}  // namespace rattn
