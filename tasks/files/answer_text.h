// What is taken of a generated answer and how it is compared, exactly as the
// filters and the exact match of lm-eval do it (quirks included).
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace rattn {

inline constexpr std::string_view kInvalidAnswer = "[invalid]";

// Filters. Where nothing is found: kInvalidAnswer.
std::string KeepAnswer(std::string_view text);   // as it is
std::string StripAnswer(std::string_view text);  // str.strip()
// The number after the first "#### ".
std::string NumberAfterHashes(std::string_view text);
// The number after the first "The answer is " that one more character follows;
// the number gives up its last character if nothing else follows it.
std::string NumberAfterTheAnswerIs(std::string_view text);
// The last run of two or more of $ 0-9 . , or the last integer; a minus counts.
std::string LastNumber(std::string_view text);

// Normalizers (text_task.h). Lower-casing cuts every text to the length of the
// longest one before it, as NumPy's fixed-width strings do.
std::vector<std::string> NormalizeNumbers(std::vector<std::string> texts);
std::vector<std::string> NormalizePunctuation(std::vector<std::string> texts);

}  // namespace rattn
