// GPT-2's alphabet: every byte as one printable character.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace rattn {

// UTF-8 of the character that stands for a byte.
std::string_view ByteCharacter(uint8_t byte);
// The byte that a character stands for, or -1.
int CharacterByte(char32_t c);

// Each byte of `text` as its character.
std::string ToByteCharacters(std::string_view text);

}  // namespace rattn
