#include "harness/cli.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <new>
#include <string>
#include <utility>
#include <vector>

#include "harness/backends.h"
#include "harness/command_line.h"
#include "harness/machine_tiles.h"
#include "harness/verbs.h"
#include "kernels/cpu/isa.h"
#include "kernels/nearest_name.h"
#include "models/error.h"
#include "models/json_fields.h"

namespace rattn {
namespace {

// Every flag that `app` knows, as written: "--window".
std::vector<std::string> FlagNames(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& name : option->get_lnames()) {
      names.push_back("--" + name);
    }
  }
  return names;
}

const CLI::App* ParsedVerb(const CLI::App& app) {
  const auto verbs = app.get_subcommands();
  return verbs.empty() ? nullptr : verbs.front();
}

std::string UnknownArgument(const CLI::App& app) {
  const CLI::App* verb = ParsedVerb(app);
  const std::vector<std::string> extras = app.remaining(/*recurse=*/true);
  const std::string argument = extras.empty() ? "" : extras.front();
  if (argument.starts_with("-")) {
    const std::string flag = argument.substr(0, argument.find('='));
    return fmt::format("unknown flag '{}'{}{}", flag,
                       verb ? " of rattn " + verb->get_name() : "",
                       NearestHint(flag, FlagNames(verb ? *verb : app)));
  }
  if (verb != nullptr) {
    return fmt::format("unexpected argument '{}': see rattn {} --help",
                       argument, verb->get_name());
  }
  std::vector<std::string> names;
  for (const Verb& known : Verbs()) {
    if (!known.hidden) names.emplace_back(known.name);
  }
  return fmt::format("unknown verb '{}'{}", argument,
                     NearestHint(argument, names));
}

std::string OneLine(std::string text) {
  for (char& c : text) {
    if (c == '\n' || c == '\r') c = ' ';
  }
  while (!text.empty() && text.back() == ' ') text.pop_back();
  return text;
}

int Fail(const std::string& line, int exit_code) {
  std::fflush(stdout);
  fmt::print(stderr, "rattn: {}\n", OneLine(line));
  return exit_code;
}

void BuildApp(CLI::App* app, std::vector<Action>* actions) {
  app->description(
      "rattn: measures and evaluates local-global attention language models");
  app->footer("Example:\n  rattn sweep quick && open runs/quick/report.html");
  app->set_version_flag("--version", "rattn " RATTN_VERSION);
  app->require_subcommand(1);
  actions->resize(Verbs().size());
  for (size_t i = 0; i < Verbs().size(); ++i) {
    const Verb& verb = Verbs()[i];
    CLI::App* sub =
        app->add_subcommand(std::string(verb.name), std::string(verb.summary));
    sub->footer(fmt::format("Example:\n  {}", verb.example));
    if (verb.hidden) sub->group("");
    verb.add(*sub, &(*actions)[i]);
  }
}

// Results are JSON and keep the command line and its paths.
bool IsUtf8(const char* text) {
  try {
    Json(text).dump();
    return true;
  } catch (const Json::type_error&) {
    return false;
  }
}

// "--num_fewshot=5" is "--num-fewshot=5": other programs' flags have either.
std::string WithDashes(std::string argument) {
  if (!argument.starts_with("--")) return argument;
  const auto end = std::find(argument.begin(), argument.end(), '=');
  std::replace(argument.begin(), end, '_', '-');
  return argument;
}

int Parse(CLI::App* app, int argc, char** argv) {
  std::vector<std::string> arguments;  // the last one first, as CLI11 wants it
  for (int i = argc - 1; i > 0; --i) {
    if (!IsUtf8(argv[i])) {
      return Fail(fmt::format("argument {} is not UTF-8 text", i), kExitMisuse);
    }
    arguments.push_back(WithDashes(argv[i]));
  }
  try {
    app->parse(std::move(arguments));
    return -1;
  } catch (const CLI::Success& success) {
    // --help and --version; "rattn swep --help" still names no verb.
    if (ParsedVerb(*app) == nullptr && !app->remaining().empty()) {
      return Fail(UnknownArgument(*app), kExitMisuse);
    }
    return app->exit(success) == 0 ? kExitDone : kExitFailed;
  } catch (const CLI::ExtrasError&) {
    return Fail(UnknownArgument(*app), kExitMisuse);
  } catch (const CLI::ParseError& error) {
    if (argc < 2) {
      fmt::print("{}", app->help());
      return kExitMisuse;
    }
    // "rattn swep": CLI11 misses a verb before it looks at what is too much.
    if (ParsedVerb(*app) == nullptr && !app->remaining().empty()) {
      return Fail(UnknownArgument(*app), kExitMisuse);
    }
    return Fail(error.what(), kExitMisuse);
  }
}

int RunAction(const CLI::App& app, const std::vector<Action>& actions) {
  if (const Support isa = IsaSupport(); !isa.ok()) {
    throw UserError(isa.reason);
  }
  const std::string chosen = ParsedVerb(app)->get_name();
  // Cells are started by a verb that has said it already.
  LoadMachineTiles(/*quiet=*/chosen == "cell");
  for (size_t i = 0; i < Verbs().size(); ++i) {
    if (Verbs()[i].name == chosen) return actions[i]();
  }
  return kExitMisuse;
}

}  // namespace

int RunCli(int argc, char** argv) {
  KeepCommandLine(argc, argv);
  ConnectTorchBackend();
  CLI::App app("", "rattn");
  std::vector<Action> actions;
  BuildApp(&app, &actions);
  if (const int code = Parse(&app, argc, argv); code >= 0) return code;
  try {
    const int code = RunAction(app, actions);
    if (std::fflush(stdout) != 0) {
      return Fail("cannot write to standard output", kExitFailed);
    }
    return code;
  } catch (const UserError& error) {
    return Fail(error.what(), kExitMisuse);
  } catch (const RunError& error) {
    return Fail(error.what(), kExitFailed);
  } catch (const std::bad_alloc&) {
    return Fail("out of memory", kExitFailed);
  } catch (const std::exception& error) {
    return Fail(error.what(), kExitFailed);
  }
}

}  // namespace rattn
