// Lines of a text.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string_view>

namespace rattn {

// Calls body(line, number) for every line, without its newline; numbers begin
// at 1. The last line may lack its newline.
template <typename Body>
void ForEachLine(std::string_view text, const Body& body) {
  int64_t number = 0;
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    body(text.substr(at, end - at), ++number);
    at = end + 1;
  }
}

}  // namespace rattn
