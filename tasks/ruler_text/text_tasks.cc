#include "tasks/ruler_text/text_tasks.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <array>
#include <vector>

#include "kernels/nearest_name.h"
#include "models/error.h"

namespace rattn {
namespace {

using enum RulerFamily;
using enum HaystackKind;
using enum NeedleKind;

constexpr std::array kTasks = {
    RulerTextTask{"niah_single_1", "niah_single_1", kNiah},
    RulerTextTask{"niah_single_2", "niah_single_2", kNiah, false, kEssay},
    RulerTextTask{"niah_single_3", "niah_single_3", kNiah, false, kEssay,
                  kWords, kUuids},
    RulerTextTask{"niah_multikey_1", "niah_multikey_1", kNiah, false, kEssay,
                  kWords, kNumbers, /*keys=*/4},
    RulerTextTask{"niah_multikey_2", "niah_multikey_2", kNiah, false, kNeedle},
    RulerTextTask{"niah_multikey_3", "niah_multikey_3", kNiah, false, kNeedle,
                  kUuids, kUuids},
    RulerTextTask{"niah_multivalue", "niah_multivalue", kNiah, false, kEssay,
                  kWords, kNumbers, /*keys=*/1, /*values=*/4},
    RulerTextTask{"niah_multiquery", "niah_multiquery", kNiah, false, kEssay,
                  kWords, kNumbers, /*keys=*/4, /*values=*/1, /*queries=*/4},
    RulerTextTask{"vt", "ruler_vt", kVt},
    RulerTextTask{"cwe", "ruler_cwe", kCwe},
    RulerTextTask{"fwe", "ruler_fwe", kFwe},
    RulerTextTask{"qa_1", "ruler_qa_squad", kQa, true},
    RulerTextTask{"qa_2", "ruler_qa_hotpot", kQa, true},
};

constexpr std::array kModes = {RulerMode::kOfficial, RulerMode::kFresh,
                               RulerMode::kLmEval};

}  // namespace

std::string_view RulerModeName(RulerMode mode) {
  switch (mode) {
    case RulerMode::kOfficial:
      return "official";
    case RulerMode::kFresh:
      return "fresh";
    default:
      return "lm-eval";
  }
}

RulerMode ParseRulerMode(const std::string& name) {
  for (const RulerMode mode : kModes) {
    if (name == RulerModeName(mode)) return mode;
  }
  throw UserError(
      fmt::format("--mode '{}' is none of official, fresh and lm-eval", name));
}

std::string_view RulerGeneratorVersion(RulerMode mode) {
  switch (mode) {
    case RulerMode::kOfficial:
      return "NVIDIA/RULER c3f5e3b";
    case RulerMode::kFresh:
      return "rattn fresh 2";
    default:
      return "lm-evaluation-harness 4e7e0d4";
  }
}

std::string_view NeedleKindName(NeedleKind kind) {
  constexpr std::array<std::string_view, 3> kNames = {"words", "numbers",
                                                      "uuids"};
  return kNames[static_cast<size_t>(kind)];
}

std::span<const RulerTextTask> RulerTextTasks() { return kTasks; }

const RulerTextTask& FindRulerTextTask(const std::string& name) {
  std::vector<std::string> names;
  for (const RulerTextTask& task : kTasks) {
    if (name == task.name || name == task.lm_eval_name) return task;
    names.emplace_back(task.name);
  }
  throw UserError(
      fmt::format("RULER has no task '{}'{}", name, NearestHint(name, names)));
}

}  // namespace rattn
