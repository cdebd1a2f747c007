// A tokenizer.json as it stands. The vocabulary and the merges, which can be
// many megabytes, are read past the JSON tree.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "models/json_fields.h"

namespace rattn {

// Most ids of a vocabulary that is read.
inline constexpr int64_t kMostTokens = int64_t{1} << 22;

struct TokenizerFile {
  std::string path;
  Json rest;                                           // all but the two below
  std::vector<std::pair<std::string, int32_t>> vocab;  // ids below kMostTokens
  std::vector<std::pair<std::string, std::string>> merges;
};

// Throws UserError that names `path` and the place: not JSON, nested too deep,
// too many entries, entries of another type. Merges may be "a b" or ["a", "b"].
TokenizerFile ParseTokenizerFile(std::string_view text,
                                 const std::string& path);

}  // namespace rattn
