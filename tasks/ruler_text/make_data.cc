#include "tasks/ruler_text/make_data.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "models/error.h"
#include "models/text_lines.h"
#include "tasks/ruler_text/fresh.h"
#include "tasks/ruler_text/lm_eval.h"

namespace rattn {
namespace {

constexpr int64_t kLeastLength = 64;
constexpr int64_t kMostLength = int64_t{1} << 20;
constexpr int64_t kMostSamples = 1000000;

void CheckRequest(const RulerRequest& request) {
  if (request.length < kLeastLength || request.length > kMostLength) {
    throw UserError(fmt::format("RULER's length {} is outside of {} to {}",
                                request.length, kLeastLength, kMostLength));
  }
  if (request.samples < 1 || request.samples > kMostSamples) {
    throw UserError(fmt::format("RULER's {} samples are outside of 1 to {}",
                                request.samples, kMostSamples));
  }
  if (request.wrapper.find("{task_template}") == std::string::npos) {
    throw UserError("a chat wrapper needs '{task_template}'");
  }
}

// Names of hashes that a task depends on; reads what is behind them.
std::vector<std::string> UsedData(RulerMode mode, const RulerTextTask& task,
                                  RulerSources* sources) {
  std::vector<std::string> names;
  if (mode != RulerMode::kFresh) {
    sources->templates();
    names.push_back("templates");
  }
  switch (task.family) {
    case RulerFamily::kNiah:
      if (task.key == NeedleKind::kWords) {
        sources->pairs();
        names.insert(names.end(), {"adjectivelist", "nounlist"});
      }
      if (task.haystack == HaystackKind::kEssay) {
        sources->haystack();
        names.insert(names.end(), {"haystack", "sentences"});
      }
      break;
    case RulerFamily::kCwe:
      sources->words();
      if (mode == RulerMode::kOfficial) sources->find_english();
      names.insert(names.end(),
                   {"adjectivelist", "nounlist", "verblist", "english_words"});
      break;
    case RulerFamily::kQa:
      QaQuestions(task, sources);
      names.push_back(task.name == "qa_1" ? "squad" : "hotpotqa");
      break;
    default:
      break;
  }
  return names;
}

}  // namespace

std::vector<RulerTextSample> MakeRulerSamples(RulerMode mode,
                                              const RulerTextTask& task,
                                              const RulerRequest& request,
                                              RulerSources* sources,
                                              const Tokenizer& tokenizer) {
  CheckRequest(request);
  CachedTokenCounter counter(&tokenizer, mode == RulerMode::kLmEval);
  switch (mode) {
    case RulerMode::kOfficial:
      return MakeOfficialSamples(task, request, sources, &counter);
    case RulerMode::kFresh:
      return MakeFreshSamples(task, request, sources, &counter);
    default:
      return MakeLmEvalSamples(task, request, sources, &counter);
  }
}

Json RulerIdentity(RulerMode mode, const RulerTextTask& task,
                   const RulerRequest& request, RulerSources* sources,
                   const Tokenizer& tokenizer) {
  Json data = Json::object();
  for (const std::string& name : UsedData(mode, task, sources)) {
    if (sources->hashes().contains(name)) data[name] = sources->hashes()[name];
  }
  return {{"mode", RulerModeName(mode)},
          {"generator", RulerGeneratorVersion(mode)},
          {"task", task.name},
          {"length", request.length},
          {"samples", request.samples},
          {"seed", request.seed},
          {"wrapper", request.wrapper},
          {"tokenizer", tokenizer.fingerprint()},
          {"data", data}};
}

std::string RulerDataFile(const std::vector<RulerTextSample>& samples) {
  std::string file;
  for (const RulerTextSample& sample : samples) {
    file += RulerDataLine(sample);
    file += '\n';
  }
  return file;
}

std::vector<RulerTextSample> ReadRulerDataFile(const std::string& path) {
  std::error_code none;
  const auto size = std::filesystem::file_size(path, none);
  const std::string file =
      ReadTextFile(path, none ? kMaxJsonBytes : static_cast<size_t>(size));
  std::vector<RulerTextSample> samples;
  ForEachLine(file, [&](std::string_view line, int64_t number) {
    if (line.empty()) return;
    samples.push_back(ParseRulerDataLine(std::string(line),
                                         fmt::format("{}:{}", path, number)));
    samples.back().index = static_cast<int64_t>(samples.size()) - 1;
  });
  return samples;
}

}  // namespace rattn
