// The command line: parsing, error lines, exit codes.
#pragma once

namespace rattn {

// Runs the verb that the arguments name and returns the exit code.
int RunCli(int argc, char** argv);

}  // namespace rattn
