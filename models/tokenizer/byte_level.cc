#include "models/tokenizer/byte_level.h"

#include <array>

#include "models/tokenizer/unicode.h"

namespace rattn {
namespace {

constexpr int kBytes = 256;
// The others are numbered from here.
constexpr char32_t kFirstStandIn = 0x100;

constexpr bool IsItsOwn(int byte) {
  return (byte >= '!' && byte <= '~') || (byte >= 0xa1 && byte <= 0xac) ||
         byte >= 0xae;
}

struct Alphabet {
  Alphabet() {
    bytes.fill(-1);
    char32_t next = kFirstStandIn;
    for (int byte = 0; byte < kBytes; ++byte) {
      const char32_t c = IsItsOwn(byte) ? static_cast<char32_t>(byte) : next++;
      AppendUtf8(c, &characters[byte]);
      bytes[c] = byte;
    }
  }
  std::array<std::string, kBytes> characters;
  std::array<int, 2 * kBytes> bytes;  // by code point
};

const Alphabet& TheAlphabet() {
  static const Alphabet alphabet;
  return alphabet;
}

}  // namespace

std::string_view ByteCharacter(uint8_t byte) {
  return TheAlphabet().characters[byte];
}

int CharacterByte(char32_t c) {
  const auto& bytes = TheAlphabet().bytes;
  return c < bytes.size() ? bytes[c] : -1;
}

std::string ToByteCharacters(std::string_view text) {
  const auto& characters = TheAlphabet().characters;
  std::string out;
  out.reserve(2 * text.size());
  for (const char c : text) out += characters[static_cast<uint8_t>(c)];
  return out;
}

}  // namespace rattn
