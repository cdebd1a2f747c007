#include "tasks/python_text.h"

#include <fmt/format.h>
#include <unicode/uchar.h>
#include <unicode/ustring.h>
#include <unicode/utf8.h>

#include <algorithm>
#include <limits>

#include "models/error.h"

namespace rattn {
namespace {

using Utf16 = std::u16string;
using CaseMapping = int32_t (*)(UChar*, int32_t, const UChar*, int32_t,
                                UErrorCode*);

int32_t Lower(UChar* to, int32_t capacity, const UChar* from, int32_t length,
              UErrorCode* status) {
  return u_strToLower(to, capacity, from, length, "", status);
}
int32_t Title(UChar* to, int32_t capacity, const UChar* from, int32_t length,
              UErrorCode* status) {
  return u_strToTitle(to, capacity, from, length, nullptr, "", status);
}

Utf16 ToUtf16(std::u32string_view text) {
  Utf16 units;
  units.reserve(text.size());
  for (const char32_t c : text) {
    if (c < 0x10000) {
      units += static_cast<char16_t>(c);
    } else {
      units += static_cast<char16_t>(0xd7c0 + (c >> 10));
      units += static_cast<char16_t>(0xdc00 + (c & 0x3ff));
    }
  }
  return units;
}

std::u32string FromUtf16(const Utf16& units) {
  std::u32string text;
  for (size_t i = 0; i < units.size(); ++i) {
    char32_t c = units[i];
    if (c >= 0xd800 && c < 0xdc00 && i + 1 < units.size()) {
      c = ((c - 0xd7c0) << 10) + (units[++i] - 0xdc00);
    }
    text += c;
  }
  return text;
}

std::u32string MapCase(CaseMapping mapping, std::u32string_view text) {
  const Utf16 from = ToUtf16(text);
  // One unit becomes three at most (SpecialCasing.txt).
  if (from.size() > std::numeric_limits<int32_t>::max() / 3) {
    throw RunError("a text of more than 700 MB has its case changed");
  }
  Utf16 to(from.size() * 3 + 1, u'\0');
  UErrorCode status = U_ZERO_ERROR;
  const int32_t length =
      mapping(to.data(), static_cast<int32_t>(to.size()), from.data(),
              static_cast<int32_t>(from.size()), &status);
  if (U_FAILURE(status)) {
    throw RunError(fmt::format("ICU cannot change the case of a text: {}",
                               u_errorName(status)));
  }
  to.resize(static_cast<size_t>(length));
  return FromUtf16(to);
}

// The code point at `*at`, which is moved past it.
char32_t NextCodePoint(std::string_view text, size_t* at) {
  const auto* bytes = reinterpret_cast<const uint8_t*>(text.data());
  UChar32 c = 0;
  U8_NEXT_OR_FFFD(bytes, *at, text.size(), c);
  return static_cast<char32_t>(c);
}

bool IsPunctuation(char c) {
  return (c >= '!' && c <= '/') || (c >= ':' && c <= '@') ||
         (c >= '[' && c <= '`') || (c >= '{' && c <= '~');
}

// What repr() shows as it is: no controls, formats, separators but the space,
// private or unassigned code points.
bool IsPrintable(char32_t c) {
  if (c == ' ') return true;
  switch (u_charType(static_cast<UChar32>(c))) {
    case U_CONTROL_CHAR:
    case U_FORMAT_CHAR:
    case U_SURROGATE:
    case U_PRIVATE_USE_CHAR:
    case U_UNASSIGNED:
    case U_LINE_SEPARATOR:
    case U_PARAGRAPH_SEPARATOR:
    case U_SPACE_SEPARATOR:
      return false;
    default:
      return true;
  }
}

std::string EscapedForRepr(char32_t c) {
  switch (c) {
    case '\n':
      return "\\n";
    case '\r':
      return "\\r";
    case '\t':
      return "\\t";
    case '\\':
      return "\\\\";
    default:
      break;
  }
  if (IsPrintable(c)) return EncodeUtf8(std::u32string_view(&c, 1));
  const auto value = static_cast<uint32_t>(c);
  if (c < 0x100) return fmt::format("\\x{:02x}", value);
  if (c < 0x10000) return fmt::format("\\u{:04x}", value);
  return fmt::format("\\U{:08x}", value);
}

}  // namespace

std::u32string DecodeUtf8(std::string_view text) {
  std::u32string code_points;
  code_points.reserve(text.size());
  for (size_t i = 0; i < text.size();) {
    code_points += NextCodePoint(text, &i);
  }
  return code_points;
}

std::string EncodeUtf8(std::u32string_view code_points) {
  std::string text;
  for (const char32_t c : code_points) {
    char bytes[4];
    int32_t length = 0;
    bool failed = false;
    U8_APPEND(bytes, length, 4, static_cast<UChar32>(c), failed);
    text += failed ? std::string("\xef\xbf\xbd") : std::string(bytes, length);
  }
  return text;
}

bool IsPythonSpace(char32_t c) {
  return (c >= 0x09 && c <= 0x0d) || (c >= 0x1c && c <= 0x20) || c == 0x85 ||
         c == 0xa0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200a) ||
         c == 0x2028 || c == 0x2029 || c == 0x202f || c == 0x205f ||
         c == 0x3000;
}

std::string_view PythonLStrip(std::string_view text) {
  for (size_t i = 0; i < text.size();) {
    const size_t start = i;
    if (!IsPythonSpace(NextCodePoint(text, &i))) return text.substr(start);
  }
  return {};
}

std::string_view PythonRStrip(std::string_view text) {
  size_t end = text.size();
  while (end > 0) {
    size_t start = end - 1;
    // Back to a byte that begins a code point.
    while (start > 0 && end - start < 4 &&
           (static_cast<uint8_t>(text[start]) & 0xc0) == 0x80) {
      --start;
    }
    size_t next = start;
    const char32_t c = NextCodePoint(text, &next);
    if (next != end || !IsPythonSpace(c)) break;
    end = start;
  }
  return text.substr(0, end);
}

std::string_view PythonStrip(std::string_view text) {
  return PythonLStrip(PythonRStrip(text));
}

std::string PythonLower(std::string_view text) {
  return EncodeUtf8(MapCase(Lower, DecodeUtf8(text)));
}

std::string PythonCapitalize(std::string_view text) {
  const std::u32string all = DecodeUtf8(text);
  if (all.empty()) return "";
  const std::u32string_view first(all.data(), 1);
  // The rest is lowered as part of the whole: a final sigma looks back.
  const size_t lowered = MapCase(Lower, first).size();
  return EncodeUtf8(MapCase(Title, first) +
                    MapCase(Lower, all).substr(lowered));
}

int64_t CodePoints(std::string_view text) {
  int64_t count = 0;
  for (size_t i = 0; i < text.size(); ++count) NextCodePoint(text, &i);
  return count;
}

std::string FirstCodePoints(std::string_view text, int64_t count) {
  size_t end = 0;
  while (count-- > 0 && end < text.size()) NextCodePoint(text, &end);
  return std::string(text.substr(0, end));
}

std::string RemovePunctuation(std::string_view text) {
  std::string kept(text);
  std::erase_if(kept, IsPunctuation);
  return kept;
}

std::string ReplaceAll(std::string_view text, std::string_view from,
                       std::string_view to) {
  std::string result;
  size_t done = 0;
  for (size_t at; (at = text.find(from, done)) != std::string_view::npos;) {
    result.append(text.substr(done, at - done)).append(to);
    done = at + from.size();
  }
  return result.append(text.substr(done));
}

int64_t CountWords(std::string_view text) {
  int64_t pieces = 1;
  bool in_space = false;
  for (size_t i = 0; i < text.size();) {
    const bool space = IsPythonSpace(NextCodePoint(text, &i));
    if (space && !in_space) ++pieces;
    in_space = space;
  }
  return pieces;
}

std::string PythonRepr(std::string_view text) {
  const bool double_quoted = text.find('\'') != std::string_view::npos &&
                             text.find('"') == std::string_view::npos;
  const char quote = double_quoted ? '"' : '\'';
  std::string repr(1, quote);
  for (const char32_t c : DecodeUtf8(text)) {
    if (c == static_cast<char32_t>(quote)) {
      repr += std::string("\\") + quote;
    } else {
      repr += EscapedForRepr(c);
    }
  }
  return repr + quote;
}

std::string PythonRepr(const std::vector<std::string>& items) {
  std::string repr = "[";
  for (const std::string& item : items) {
    if (repr.size() > 1) repr += ", ";
    repr += PythonRepr(item);
  }
  return repr + "]";
}

}  // namespace rattn
