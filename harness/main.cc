#include <stdlib.h>
#include <unistd.h>

#include <filesystem>
#include <system_error>

#include "harness/cli.h"

namespace {

// Threads that wait for each other spin for milliseconds by libgomp's default,
// also where another program has taken the core of the one they wait for: with
// one busy program beside it on two cores an evaluation took 17.0 s, this way
// 9.4 s, and alone as long as before. libgomp reads its setting while it is
// loaded: hence the second start of the program.
void WaitBriefly(char** argv) {
  if (getenv("GOMP_SPINCOUNT") != nullptr ||
      getenv("OMP_WAIT_POLICY") != nullptr) {
    return;
  }
  std::error_code error;
  const auto self = std::filesystem::read_symlink("/proc/self/exe", error);
  if (error || setenv("GOMP_SPINCOUNT", "4000", 0) != 0) return;
  execv(self.c_str(), argv);  // where it fails all goes on with the default
}

}  // namespace

int main(int argc, char** argv) {
  WaitBriefly(argv);
  return rattn::RunCli(argc, argv);
}
