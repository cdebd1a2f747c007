// What tokenizers have in common, whatever file they come from.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "models/tokenizer.h"
#include "models/tokenizer/added_tokens.h"
#include "models/tokenizer/settings.h"

namespace rattn {

class BaseTokenizer : public Tokenizer {
 public:
  int64_t vocab_size() const override { return size_; }
  // `text` as `EncodeText` has it, between what the settings add.
  std::vector<int32_t> Encode(std::string_view text,
                              bool add_special) const final;
  std::string Piece(int32_t id) const final;
  int32_t bos() const override { return specials_.bos; }
  int32_t eos() const override { return specials_.eos; }
  bool adds_bos() const override;
  std::string fingerprint() const override { return fingerprint_; }

 protected:
  virtual void EncodeText(std::string_view valid_utf8,
                          std::vector<int32_t>* ids) const = 0;
  // Of an id below vocab_size() that is no added token; "" for a gap.
  virtual std::string ModelPiece(int32_t id) const = 0;

  const AddedToken* FindAdded(int32_t id) const;
  // Keeps it and makes room for its id.
  void Register(const AddedToken& token);

  int64_t size_ = 0;
  std::map<int32_t, AddedToken> added_;
  SpecialIds specials_;
  std::string fingerprint_;
};

}  // namespace rattn
