// The 13 tasks of RULER (Hsieh et al. 2024, arXiv 2404.06654) on real text,
// and the three ways in which their prompts are made.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace rattn {

enum class RulerMode {
  kOfficial,  // NVIDIA/RULER c3f5e3b, byte for byte
  kFresh,     // own wording, layouts that vary, seeds free of the tokenizer
  kLmEval,    // the port in lm-evaluation-harness 4e7e0d4
};
std::string_view RulerModeName(RulerMode mode);
// "official", "fresh" or "lm-eval"; throws UserError.
RulerMode ParseRulerMode(const std::string& name);
// What made the prompts, with its version: stands beside every score.
std::string_view RulerGeneratorVersion(RulerMode mode);

enum class RulerFamily { kNiah, kVt, kCwe, kFwe, kQa };
enum class HaystackKind { kNoise, kEssay, kNeedle };
enum class NeedleKind { kWords, kNumbers, kUuids };
std::string_view NeedleKindName(NeedleKind kind);  // plural, as in prompts

struct RulerTextTask {
  std::string_view name;
  std::string_view lm_eval_name;
  RulerFamily family;
  bool any_reference = false;  // metric `part`, else `all`
  HaystackKind haystack = HaystackKind::kNoise;
  NeedleKind key = NeedleKind::kWords;
  NeedleKind value = NeedleKind::kNumbers;
  int64_t keys = 1;
  int64_t values = 1;
  int64_t queries = 1;
};

// In the order of RULER's own tables.
std::span<const RulerTextTask> RulerTextTasks();
// By its own or lm-eval's name; throws UserError that lists the known ones.
const RulerTextTask& FindRulerTextTask(const std::string& name);

}  // namespace rattn
