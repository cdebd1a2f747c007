// What the host execution found wrong with a kernel, in words.
#pragma once

#include <cstdint>
#include <source_location>
#include <string>
#include <string_view>
#include <vector>

namespace rattn::cuda {

using Where = std::source_location;

class Findings {
 public:
  // The same mistake on the same line is kept once and counted.
  void Add(std::string_view kernel, const int block[3], int thread,
           const Where& where, std::string_view what);

  int64_t count() const { return count_; }
  // One line each: "kernel, block (0,0,0), thread 3, file:12: what".
  std::string Text() const;

 private:
  struct Line {
    std::string text, what;
    const char* file;
    unsigned line;
  };
  std::vector<Line> lines_;
  int64_t count_ = 0;
};

}  // namespace rattn::cuda
