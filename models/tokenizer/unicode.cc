#include "models/tokenizer/unicode.h"

#include <fmt/format.h>
#include <unicode/bytestream.h>
#include <unicode/normalizer2.h>
#include <unicode/uchar.h>
#include <unicode/utf8.h>

#include "models/error.h"

namespace rattn {
namespace {

constexpr char32_t kReplacement = 0xfffd;
constexpr size_t kMostBytes = size_t{1} << 30;  // ICU counts with int32_t

// Calls take(code point or a negative number, begin, end) for each character.
template <typename Take>
void ForEachCharacter(std::string_view text, Take take) {
  if (text.size() > kMostBytes) {
    throw UserError(
        fmt::format("a text of {} bytes is too long to tokenize", text.size()));
  }
  const auto* bytes = reinterpret_cast<const uint8_t*>(text.data());
  const int32_t size = static_cast<int32_t>(text.size());
  for (int32_t at = 0; at < size;) {
    const int32_t begin = at;
    UChar32 c;
    U8_NEXT(bytes, at, size, c);
    take(c, begin, at);
  }
}

const icu::Normalizer2* FormOf(NormalForm form, UErrorCode* error) {
  switch (form) {
    case NormalForm::kNfc:
      return icu::Normalizer2::getNFCInstance(*error);
    case NormalForm::kNfd:
      return icu::Normalizer2::getNFDInstance(*error);
    case NormalForm::kNfkc:
      return icu::Normalizer2::getNFKCInstance(*error);
    case NormalForm::kNfkd:
      return icu::Normalizer2::getNFKDInstance(*error);
  }
  return nullptr;
}

}  // namespace

bool IsValidUtf8(std::string_view text) {
  bool valid = true;
  ForEachCharacter(text, [&](UChar32 c, int32_t, int32_t) { valid &= c >= 0; });
  return valid;
}

std::string ToValidUtf8(std::string_view text) {
  std::string valid;
  valid.reserve(text.size());
  ForEachCharacter(text, [&](UChar32 c, int32_t begin, int32_t end) {
    if (c < 0) {
      AppendUtf8(kReplacement, &valid);
    } else {
      valid.append(text.substr(begin, end - begin));
    }
  });
  return valid;
}

char32_t NextCodePoint(std::string_view text, size_t* at) {
  const auto* bytes = reinterpret_cast<const uint8_t*>(text.data());
  UChar32 c;
  U8_NEXT_UNSAFE(bytes, *at, c);
  return static_cast<char32_t>(c);
}

void AppendUtf8(char32_t c, std::string* text) {
  char bytes[U8_MAX_LENGTH];
  size_t size = 0;
  U8_APPEND_UNSAFE(bytes, size, c);
  text->append(bytes, size);
}

bool IsWhiteSpace(char32_t c) { return u_isUWhiteSpace(c); }
bool IsNumeric(char32_t c) { return (U_GET_GC_MASK(c) & U_GC_N_MASK) != 0; }
bool IsMark(char32_t c) { return (U_GET_GC_MASK(c) & U_GC_M_MASK) != 0; }

bool IsPunctuation(char32_t c) {
  const bool ascii = c > ' ' && c < 0x7f && !u_isalnum(c);
  return ascii || (U_GET_GC_MASK(c) & U_GC_P_MASK) != 0;
}

bool IsWordCharacter(char32_t c) {
  const uint32_t mask = U_GC_M_MASK | U_GC_ND_MASK | U_GC_PC_MASK;
  return u_isUAlphabetic(c) || (U_GET_GC_MASK(c) & mask) != 0;
}

void AppendLower(char32_t c, std::string* text) {
  // The one character whose lower case is two.
  constexpr char32_t kCapitalIWithDot = 0x130;
  if (c == kCapitalIWithDot) {
    text->append("i\u0307");
  } else {
    AppendUtf8(static_cast<char32_t>(u_tolower(c)), text);
  }
}

std::string Normalized(NormalForm form, const std::string& text) {
  UErrorCode error = U_ZERO_ERROR;
  const icu::Normalizer2* normalizer = FormOf(form, &error);
  std::string out;
  if (U_SUCCESS(error)) {
    icu::StringByteSink<std::string> sink(&out);
    normalizer->normalizeUTF8(0, text, sink, nullptr, error);
  }
  if (U_FAILURE(error)) {
    throw RunError(
        fmt::format("Unicode normalization failed: {}", u_errorName(error)));
  }
  return out;
}

}  // namespace rattn
