// Text as Python's str sees it: the prompts and metrics of other harnesses are
// made with these. All text is UTF-8; bytes that are not become U+FFFD.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace rattn {

// Code points; surrogates, overlong forms and stray bytes become U+FFFD.
std::u32string DecodeUtf8(std::string_view text);
std::string EncodeUtf8(std::u32string_view code_points);

// str.isspace() of one code point: all Unicode white space and U+001C..U+001F.
bool IsPythonSpace(char32_t c);
// str.strip(), lstrip(), rstrip() without arguments.
std::string_view PythonStrip(std::string_view text);
std::string_view PythonLStrip(std::string_view text);
std::string_view PythonRStrip(std::string_view text);

// str.lower() and str.capitalize(): full case mappings, so that results may be
// longer; capitalize() lowers everything after the first letter.
std::string PythonLower(std::string_view text);
std::string PythonCapitalize(std::string_view text);

// len(text).
int64_t CodePoints(std::string_view text);
// The first `count` code points.
std::string FirstCodePoints(std::string_view text, int64_t count);

// Without the 32 characters of string.punctuation.
std::string RemovePunctuation(std::string_view text);
// str.replace(from, to), one pass; `from` is not empty.
std::string ReplaceAll(std::string_view text, std::string_view from,
                       std::string_view to);
// len(re.split(r"\s+", text)).
int64_t CountWords(std::string_view text);

// repr() of a str and of a list of str.
std::string PythonRepr(std::string_view text);
std::string PythonRepr(const std::vector<std::string>& items);

}  // namespace rattn
