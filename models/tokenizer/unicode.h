// UTF-8 and character classes as tokenizers need them; ICU holds the tables.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace rattn {

// `text` with every maximal ill-formed sequence replaced by U+FFFD.
std::string ToValidUtf8(std::string_view text);
bool IsValidUtf8(std::string_view text);

// The code point at `*at` of valid UTF-8; moves `*at` behind it.
char32_t NextCodePoint(std::string_view text, size_t* at);
void AppendUtf8(char32_t c, std::string* text);

bool IsWhiteSpace(char32_t c);     // property White_Space
bool IsNumeric(char32_t c);        // general category N
bool IsPunctuation(char32_t c);    // P, or punctuation of ASCII
bool IsMark(char32_t c);           // M
bool IsWordCharacter(char32_t c);  // \w: alphabetic, M, Nd, Pc
void AppendLower(char32_t c, std::string* text);

enum class NormalForm { kNfc, kNfd, kNfkc, kNfkd };
std::string Normalized(NormalForm form, const std::string& text);

}  // namespace rattn
