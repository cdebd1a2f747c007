// Exceptions at the edges of the program. Both carry one line that names the
// thing and says what to do; main() prints it after "rattn: ".
#pragma once

#include <stdexcept>
#include <string>
#include <utility>

namespace rattn {

// Names and values in an error may come from files: control characters become
// spaces, and what is very long is cut.
inline std::string ErrorLine(std::string text) {
  constexpr size_t kLongest = 1 << 14;
  if (text.size() > kLongest) text.replace(kLongest, std::string::npos, "...");
  for (char& c : text) {
    if (static_cast<unsigned char>(c) < ' ') c = ' ';
  }
  return text;
}

// What the user asked for cannot be done (bad flag, config, file): exit code 2.
class UserError : public std::runtime_error {
 public:
  explicit UserError(std::string text)
      : std::runtime_error(ErrorLine(std::move(text))) {}
};

// What was asked for failed on the way (full disk, no memory): exit code 1.
class RunError : public std::runtime_error {
 public:
  explicit RunError(std::string text)
      : std::runtime_error(ErrorLine(std::move(text))) {}
};

}  // namespace rattn
