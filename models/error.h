// Exceptions at the edges of the program. Both carry one line that names the
// thing and says what to do; main() prints it after "rattn: ".
#pragma once

#include <stdexcept>
#include <string>

namespace rattn {

// What the user asked for cannot be done (bad flag, config, file): exit code 2.
class UserError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// What was asked for failed on the way (full disk, no memory): exit code 1.
class RunError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

}  // namespace rattn
