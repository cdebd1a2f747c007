// For tests: a byte-level tokenizer without merges, a token a byte, as a
// tokenizer.json.
#pragma once

#include <fstream>
#include <string>

#include "models/json_fields.h"

namespace rattn {

inline void WriteByteTokenizer(const std::string& folder) {
  Json vocabulary = Json::object();
  int next = 0;
  // GPT-2's letters for bytes: printable ones stand for themselves, all others
  // come after U+0100.
  for (int byte = 0; byte < 256; ++byte) {
    const bool plain = (byte > 32 && byte < 127) || (byte > 160 && byte != 173);
    const int code = plain ? byte : 256 + next++;
    std::string letter;
    if (code < 128) {
      letter = static_cast<char>(code);
    } else {
      letter = {static_cast<char>(0xc0 | code >> 6),
                static_cast<char>(0x80 | (code & 0x3f))};
    }
    vocabulary[letter] = byte;
  }
  const Json bytes = {{"type", "ByteLevel"},
                      {"add_prefix_space", false},
                      {"trim_offsets", true},
                      {"use_regex", true}};
  const Json tokenizer = {
      {"version", "1.0"},
      {"truncation", nullptr},
      {"padding", nullptr},
      {"added_tokens", Json::array()},
      {"normalizer", nullptr},
      {"pre_tokenizer", bytes},
      {"post_processor", bytes},
      {"decoder", bytes},
      {"model",
       {{"type", "BPE"}, {"vocab", vocabulary}, {"merges", Json::array()}}}};
  std::ofstream(folder + "/tokenizer.json") << tokenizer.dump();
}

}  // namespace rattn
