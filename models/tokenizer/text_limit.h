// How long a text may become in the hands of a tokenizer's components: a file
// that nobody vouches for can replace one character by many, again and again.
#pragma once

#include <fmt/format.h>

#include <cstddef>
#include <string>
#include <string_view>

#include "models/error.h"

namespace rattn {

class TextLimit {
 public:
  // For a text of `bytes`; `file` is for the error and must outlive the limit.
  TextLimit(size_t bytes, std::string_view file)
      : most_(kSpareBytes + kMostGrowth * bytes), file_(file) {}

  // Throws UserError.
  void Check(size_t bytes) const {
    if (bytes <= most_) return;
    throw UserError(fmt::format(
        "{}: its components make a text of over {} bytes", file_, most_));
  }

 private:
  static constexpr size_t kSpareBytes = size_t{1} << 16;
  static constexpr size_t kMostGrowth = 64;
  size_t most_;
  std::string_view file_;
};

}  // namespace rattn
