// The arguments that the program was started with, for run.json.
#pragma once

#include <string>
#include <vector>

namespace rattn {

void KeepCommandLine(int argc, char** argv);
const std::vector<std::string>& CommandLine();

}  // namespace rattn
