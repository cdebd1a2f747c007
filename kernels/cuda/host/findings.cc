#include "kernels/cuda/host/findings.h"

#include <fmt/format.h>

#include <algorithm>

namespace rattn::cuda {
namespace {

std::string_view FileName(std::string_view path) {
  return path.substr(path.rfind('/') + 1);
}

}  // namespace

void Findings::Add(std::string_view kernel, const int block[3], int thread,
                   const Where& where, std::string_view what) {
  ++count_;
  const auto same = [&](const Line& line) {
    return line.line == where.line() && line.what == what &&
           line.file == where.file_name();
  };
  if (std::any_of(lines_.begin(), lines_.end(), same)) return;
  lines_.push_back(
      {fmt::format("{}, block ({},{},{}), thread {}, {}:{}: {}", kernel,
                   block[0], block[1], block[2], thread,
                   FileName(where.file_name()), where.line(), what),
       std::string(what), where.file_name(), where.line()});
}

std::string Findings::Text() const {
  std::string text;
  for (const Line& line : lines_) text += line.text + "\n";
  return text;
}

}  // namespace rattn::cuda
