#include "models/tokenizer/base_tokenizer.h"

#include <fmt/format.h>

#include <algorithm>

#include "models/error.h"
#include "models/tokenizer/unicode.h"

namespace rattn {

std::vector<int32_t> BaseTokenizer::Encode(std::string_view text,
                                           bool add_special) const {
  std::vector<int32_t> ids;
  if (add_special) ids = specials_.before;
  EncodeText(ToValidUtf8(text), &ids);
  if (add_special) {
    ids.insert(ids.end(), specials_.after.begin(), specials_.after.end());
  }
  return ids;
}

std::string BaseTokenizer::Piece(int32_t id) const {
  if (id < 0 || id >= size_) {
    throw UserError(fmt::format(
        "token id {} is not in the vocabulary (0 to {})", id, size_ - 1));
  }
  const AddedToken* added = FindAdded(id);
  return added != nullptr ? added->content : ModelPiece(id);
}

bool BaseTokenizer::adds_bos() const {
  return specials_.bos >= 0 && !specials_.before.empty() &&
         specials_.before[0] == specials_.bos;
}

const AddedToken* BaseTokenizer::FindAdded(int32_t id) const {
  const auto found = added_.find(id);
  return found == added_.end() ? nullptr : &found->second;
}

void BaseTokenizer::Register(const AddedToken& token) {
  added_.try_emplace(token.id, token);
  size_ = std::max<int64_t>(size_, int64_t{token.id} + 1);
}

}  // namespace rattn
