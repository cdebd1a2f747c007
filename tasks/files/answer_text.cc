#include "tasks/files/answer_text.h"

#include <algorithm>
#include <cstdint>

#include "tasks/python_text.h"

namespace rattn {
namespace {

bool IsDigit(char c) { return c >= '0' && c <= '9'; }
bool IsNumeral(char c) { return IsDigit(c) || c == '.' || c == ','; }
bool IsPriceNumeral(char c) { return IsNumeral(c) || c == '$'; }

// End of the run of characters that `accepts` takes, from `start`.
template <typename Accepts>
size_t RunEnd(std::string_view text, size_t start, Accepts accepts) {
  while (start < text.size() && accepts(text[start])) ++start;
  return start;
}

std::string Stripped(std::string_view match) {
  return std::string(PythonStrip(match));
}

// Matches of -?[0-9.,]+ at `start`, npos if there is none.
size_t NumberEnd(std::string_view text, size_t start) {
  const size_t digits =
      start + (start < text.size() && text[start] == '-' ? 1 : 0);
  const size_t end = RunEnd(text, digits, IsNumeral);
  return end == digits ? std::string_view::npos : end;
}

// Match of (-?[$0-9.,]{2,})|(-?[0-9]+) at `start`; empty if there is none.
std::string_view AnyNumber(std::string_view text, size_t start) {
  const size_t first = start + (text[start] == '-' ? 1 : 0);
  const size_t run = RunEnd(text, first, IsPriceNumeral);
  if (run - first >= 2) return text.substr(start, run - start);
  const size_t digits = RunEnd(text, first, IsDigit);
  return digits > first ? text.substr(start, digits - start)
                        : std::string_view();
}

std::vector<std::string> LowerFixedWidth(
    const std::vector<std::string>& texts) {
  int64_t width = 0;
  for (const auto& text : texts) width = std::max(width, CodePoints(text));
  std::vector<std::string> lowered;
  for (const auto& text : texts) {
    lowered.push_back(FirstCodePoints(PythonLower(text), width));
  }
  return lowered;
}

// re.sub("\\.$", ""): the end may be a last line break.
void RemoveFinalStop(std::string* text) {
  const size_t end = text->size() - (text->ends_with('\n') ? 1 : 0);
  if (end > 0 && (*text)[end - 1] == '.') text->erase(end - 1, 1);
}

}  // namespace

std::string KeepAnswer(std::string_view text) { return std::string(text); }

std::string StripAnswer(std::string_view text) { return Stripped(text); }

std::string NumberAfterHashes(std::string_view text) {
  constexpr std::string_view kMark = "#### ";
  for (size_t at = 0; (at = text.find(kMark, at)) != std::string_view::npos;
       ++at) {
    const size_t start = at + kMark.size();
    const size_t end = NumberEnd(text, start);
    if (end != std::string_view::npos) {
      return Stripped(text.substr(start, end - start));
    }
  }
  return std::string(kInvalidAnswer);
}

std::string NumberAfterTheAnswerIs(std::string_view text) {
  constexpr std::string_view kMark = "The answer is ";
  for (size_t at = 0; (at = text.find(kMark, at)) != std::string_view::npos;
       ++at) {
    const size_t start = at + kMark.size();
    size_t end = NumberEnd(text, start);
    if (end == std::string_view::npos) continue;
    const bool followed = end < text.size() && text[end] != '\n';
    if (!followed) --end;
    const size_t sign = text[start] == '-' ? 1 : 0;
    if (end > start + sign) return Stripped(text.substr(start, end - start));
  }
  return std::string(kInvalidAnswer);
}

std::string LastNumber(std::string_view text) {
  std::string last(kInvalidAnswer);
  for (size_t at = 0; at < text.size();) {
    const std::string_view match = AnyNumber(text, at);
    if (!match.empty()) last = Stripped(match);
    at += std::max<size_t>(match.size(), 1);
  }
  return last;
}

std::vector<std::string> NormalizeNumbers(std::vector<std::string> texts) {
  for (std::string& text : texts) {
    std::erase_if(text, [](char c) { return c == ',' || c == '$'; });
    constexpr std::string_view kMark = "#### ";
    const size_t mark = text.rfind(kMark);
    if (mark != std::string::npos) text.erase(0, mark + kMark.size());
    RemoveFinalStop(&text);
  }
  return LowerFixedWidth(texts);
}

std::vector<std::string> NormalizePunctuation(std::vector<std::string> texts) {
  std::vector<std::string> normalized = LowerFixedWidth(texts);
  for (std::string& text : normalized) text = RemovePunctuation(text);
  return normalized;
}

}  // namespace rattn
