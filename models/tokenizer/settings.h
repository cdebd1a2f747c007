// What tokenizer_config.json and special_tokens_map.json say about a tokenizer.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "models/tokenizer/added_tokens.h"
#include "models/tokenizer/source_files.h"

namespace rattn {

struct TokenizerSettings {
  std::optional<std::string> bos, eos;
  // Not set: what the tokenizer's own file says holds.
  std::optional<bool> add_bos, add_eos;
  std::vector<AddedToken> added;  // of "added_tokens_decoder"
};

// Both files may be missing. Throws UserError on wrong types.
TokenizerSettings ReadTokenizerSettings(SourceFiles* files);

// The ids of bos and eos, -1 where there is none, and what is put around a
// text: `added`, changed as the settings say.
struct SpecialIds {
  int32_t bos = -1, eos = -1;
  std::vector<int32_t> before, after;
};
// `find` gives the id of a token or -1. Throws UserError where a token has no
// id, or where one is to be added that is not named.
SpecialIds ResolveSpecials(
    const TokenizerSettings& settings, SpecialIds ids,
    const std::string& folder,
    const std::function<int32_t(const std::string&)>& find);

}  // namespace rattn
