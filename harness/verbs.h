// The one list of verbs. A verb is one file, verb_<name>.cc: it adds its flags
// to a CLI11 app and leaves an action to run after parsing.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <span>
#include <string_view>

namespace rattn {

// Returns the exit code: 0 done, 1 failed. Throws UserError (exit 2) and
// RunError (exit 1).
using Action = std::function<int()>;

struct Verb {
  std::string_view name;
  std::string_view summary;
  // One line, shown under the flags in --help.
  std::string_view example;
  void (*add)(CLI::App& app, Action* action);
  bool hidden = false;  // not for people
};

std::span<const Verb> Verbs();

// Checks of flags with errors that people can read.
inline const CLI::Validator kAboveZero(
    [](std::string& text) {
      double value = 0;
      const bool holds = CLI::detail::lexical_cast(text, value) && value > 0;
      return holds ? "" : "must be a number above 0, not " + text;
    },
    "> 0");
inline const CLI::Validator kAtLeastZero(
    [](std::string& text) {
      double value = 0;
      const bool holds = CLI::detail::lexical_cast(text, value) && value >= 0;
      return holds ? "" : "must be a number of at least 0, not " + text;
    },
    ">= 0");

inline constexpr int kExitDone = 0;
inline constexpr int kExitFailed = 1;
inline constexpr int kExitMisuse = 2;

}  // namespace rattn
