#include "harness/command_line.h"

namespace rattn {
namespace {

std::vector<std::string>& Stored() {
  static std::vector<std::string> words;
  return words;
}

}  // namespace

void KeepCommandLine(int argc, char** argv) {
  Stored().assign(argv, argv + argc);
}

const std::vector<std::string>& CommandLine() { return Stored(); }

}  // namespace rattn
