// Damaged copies of a file's bytes, for tests of whatever reads untrusted
// files. Used by tests of several layers.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <string>
#include <string_view>

#include "kernels/random.h"
#include "models/error.h"

namespace rattn {

// Copy number `index` of `bytes`: cut off, bits flipped, a piece repeated or
// left out, or a number made huge, negative or fractional. The same for the
// same arguments.
inline std::string Damaged(std::string bytes, uint64_t index) {
  PhiloxSequence random(2026, index);
  const auto below = [&random](size_t n) {
    return static_cast<size_t>(random.Below(n));
  };
  const size_t at = below(bytes.size());
  const size_t length = 1 + below(32);
  switch (index % 5) {
    case 0:
      bytes.resize(at);
      break;
    case 1:
      for (size_t n = 1 + below(4); n > 0 && !bytes.empty(); --n) {
        bytes[below(bytes.size())] ^= static_cast<char>(1u << below(8));
      }
      break;
    case 2:
      bytes.insert(at, bytes.substr(at, length));
      break;
    case 3:
      bytes.erase(at, length);
      break;
    default: {
      static constexpr std::string_view kDigits = "0123456789";
      static constexpr std::string_view kNumbers[] = {
          "18446744073709551616", "9223372036854775807", "-1", "1e308", "0.5"};
      const size_t from =
          std::min(bytes.find_first_of(kDigits, at), bytes.size());
      const size_t to =
          std::min(bytes.find_first_not_of(kDigits, from), bytes.size());
      bytes.replace(from, to - from, kNumbers[below(std::size(kNumbers))]);
    }
  }
  return bytes;
}

// Reads `copies` damaged copies of `bytes`. Some have to be refused, all of
// these by a UserError of one line.
template <typename Read>
void ReadDamaged(const std::string& bytes, uint64_t copies, const Read& read) {
  uint64_t refused = 0;
  for (uint64_t i = 0; i < copies; ++i) {
    SCOPED_TRACE(i);
    try {
      read(Damaged(bytes, i));
    } catch (const UserError& error) {
      EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos)
          << error.what();
      ++refused;
    } catch (const std::exception& error) {
      ADD_FAILURE() << "not a UserError: " << error.what();
    }
  }
  EXPECT_GT(refused, copies / 20);
}

}  // namespace rattn
