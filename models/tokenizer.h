// Text to token ids and back, as the tokenizer files of a checkpoint say.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace rattn {

class Tokenizer {
 public:
  virtual ~Tokenizer() = default;
  virtual int64_t vocab_size() const = 0;
  // Ids of `text` (UTF-8; invalid bytes are replaced as the reference does).
  // `add_special` adds what the checkpoint's own settings add, such as BOS.
  virtual std::vector<int32_t> Encode(std::string_view text,
                                      bool add_special) const = 0;
  virtual std::string Decode(std::span<const int32_t> ids,
                             bool skip_special) const = 0;
  // The piece as the tokenizer file spells it.
  virtual std::string Piece(int32_t id) const = 0;
  // -1 where there is none.
  virtual int32_t bos() const = 0;
  virtual int32_t eos() const = 0;
  virtual bool adds_bos() const = 0;  // Encode(text, true) begins with bos()
  // SHA-256 of the files that it was made from, hexadecimal.
  virtual std::string fingerprint() const = 0;
};

// From a folder with tokenizer.json or tokenizer.model (and, if present,
// tokenizer_config.json, special_tokens_map.json). Throws UserError that names
// the file and what is wrong with it.
std::unique_ptr<Tokenizer> LoadTokenizer(const std::string& folder);

}  // namespace rattn
