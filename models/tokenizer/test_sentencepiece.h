// SentencePiece models for tests, written field by field.
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <cstring>
#include <string>

namespace rattn::test_sentencepiece {

// Fields of a protobuf message.
inline std::string Varint(uint64_t value) {
  std::string out;
  for (; value >= 0x80; value >>= 7) out += static_cast<char>(value | 0x80);
  return out + static_cast<char>(value);
}
inline std::string Number(int field, uint64_t value) {
  return Varint(static_cast<uint64_t>(field) << 3) + Varint(value);
}
inline std::string Bytes(int field, const std::string& value) {
  return Varint(static_cast<uint64_t>(field) << 3 | 2) + Varint(value.size()) +
         value;
}
inline std::string Piece(const std::string& text, float score, int type) {
  char bytes[sizeof score];
  std::memcpy(bytes, &score, sizeof score);
  return Bytes(1, Bytes(1, text) + Varint(2 << 3 | 5) +
                      std::string(bytes, sizeof score) + Number(3, type));
}

inline constexpr int kNormal = 1, kUnknown = 2, kControl = 3, kUser = 4,
                     kByte = 6;

// 0 <unk>, 1 <s>, 2 </s>, 3..258 bytes, 259 user-defined "\n\n", 260 U+2581,
// 261 a, 262 b, 263 ab, 264 U+2581 "a".
inline std::string Model(const std::string& chars_map = "") {
  std::string model = Piece("<unk>", 0, kUnknown) + Piece("<s>", 0, kControl) +
                      Piece("</s>", 0, kControl);
  for (int byte = 0; byte < 256; ++byte) {
    model += Piece(fmt::format("<0x{:02X}>", byte), 0, kByte);
  }
  model += Piece("\n\n", 0, kUser);
  float score = -1;
  for (const char* text : {"\u2581", "a", "b", "ab", "\u2581a"}) {
    model += Piece(text, score--, kNormal);
  }
  model += Bytes(2, Number(3, 2) + Number(35, 1));  // BPE with byte fallback
  std::string normalizer = Bytes(1, "identity") + Number(3, 1) + Number(4, 0);
  if (!chars_map.empty()) normalizer += Bytes(2, chars_map);
  return model + Bytes(3, normalizer);
}

}  // namespace rattn::test_sentencepiece
