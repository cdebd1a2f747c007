// What the fuzz targets share. A target is one function of an input that
// nobody vouches for: whatever the input, a parser takes it or throws a
// UserError of one line, in bounded time and memory. libFuzzer makes inputs up
// (scripts/fuzz); fuzz/replay.cc runs those of fuzz/corpus as a test.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string_view>
#include <vector>

#include "models/error.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace rattn {

inline std::string_view InputText(const uint8_t* data, size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

// The files of one input stand between form feeds, which JSON and the other
// texts do not have.
inline std::vector<std::string_view> Sections(std::string_view input) {
  std::vector<std::string_view> sections;
  while (true) {
    const size_t end = input.find('\f');
    sections.push_back(input.substr(0, end));
    if (end == input.npos) return sections;
    input.remove_prefix(end + 1);
  }
}

// Any other exception ends the program, as a crash does.
template <typename Read>
void Untrusted(const Read& read) {
  try {
    read();
  } catch (const UserError& error) {
    const std::string_view text = error.what();
    if (text.find('\n') == text.npos && !text.empty()) return;
    std::fprintf(stderr, "an error that is no line: %s\n", error.what());
    std::abort();
  }
}

}  // namespace rattn
