#include "harness/eval_output.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <chrono>
#include <cmath>
#include <filesystem>
#include <string_view>

#include "harness/file_io.h"
#include "harness/machine.h"
#include "harness/run_json.h"
#include "models/error.h"
#include "models/sha256.h"
#include "tasks/files/lm_eval_results.h"

namespace rattn {
namespace {

namespace fs = std::filesystem;

constexpr const char* kSemantics = "lm-evaluation-harness 0.4.13";

Json TokenOf(const Tokenizer& tokenizer, int32_t id) {
  if (id < 0) return nullptr;
  return {tokenizer.Piece(id), std::to_string(id)};
}

// Runs of characters that file names should not have become "__", as lm-eval
// does.
std::string Sanitized(std::string_view name) {
  constexpr std::string_view kUnsafe = "\"<>:/|\\?*[]";
  std::string out;
  bool unsafe = false;
  for (const char c : name) {
    const bool was_unsafe = unsafe;
    unsafe = kUnsafe.find(c) != std::string_view::npos;
    if (!unsafe) {
      out += c;
    } else if (!was_unsafe) {
      out += "__";
    }
  }
  return out;
}

void CheckFinite(const CheckpointEvalResult& result) {
  for (const TextEvalResult& one : result.results) {
    for (const TextMetric& metric : one.metrics) {
      if (std::isfinite(metric.estimate.value)) continue;
      throw RunError(
          fmt::format("{}: the score {} is not finite", one.name, metric.name));
    }
  }
}

Json MadeByOf(const TextEvalResult& result, const EvalRunFacts& facts) {
  return {{"weights", facts.identity["weights"]},
          {"config", facts.identity["config"]},
          {"tokenizer", facts.identity["tokenizer"]},
          {"data", result.config.value("files", Json::object())},
          {"generator", result.config.value("generator", kSemantics)},
          {"program", "rattn " RATTN_VERSION}};
}

Json RulerJson(const CheckpointEvalResult& result) {
  const std::map<int64_t, double> means = LengthMeans(result.ruler);
  const RulerLengthSummary summary = SummarizeLengths(means);
  Json by_length = Json::object();
  for (const auto& [length, mean] : means) {
    by_length[std::to_string(length)] = mean;
  }
  const size_t all = RulerTextTasks().size() * means.size();
  return {{"mode", RulerModeName(result.ruler_mode)},
          {"generator", RulerGeneratorVersion(result.ruler_mode)},
          {"all_tasks", result.ruler.size() == all},
          {"mean_by_length", by_length},
          {"average", summary.average},
          {"weighted_average_increasing", summary.increasing},
          {"weighted_average_decreasing", summary.decreasing},
          {"effective_length",
           summary.effective ? Json(*summary.effective) : Json()},
          {"effective_length_text", EffectiveLengthText(means)}};
}

Json OursOf(const CheckpointEvalResult& result, const EvalRunFacts& facts) {
  Json counts = Json::object();
  for (const TextEvalResult& one : result.results) {
    counts[one.name] = {{"requests", one.requests},
                        {"answered_before", one.answered_before},
                        {"merged_pairs", one.merged_pairs},
                        {"truncated_prompts", one.truncated_prompts}};
  }
  return {{"semantics", kSemantics},
          {"identity", facts.identity},
          {"model_key", ModelKey(facts.identity)},
          {"threads", facts.checkpoint.execution.threads},
          {"deterministic", true},
          {"journal", facts.journal.empty() ? Json() : Json(facts.journal)},
          {"requests", counts},
          {"tokens",
           {{"asked", facts.work.asked}, {"computed", facts.work.computed}}},
          {"machine", MachineFacts()},
          {"build", BuildFacts()}};
}

Json HashOrNull(const std::string& text) {
  return text.empty() ? Json() : Json(Sha256Hex(text));
}

// The keys that follow the scores in lm-eval's file, and ours.
Json RunJson(const CheckpointEvalResult& result, const EvalRunFacts& facts) {
  const Tokenizer& tokenizer = *facts.tokenizer;
  Json config = {{"model", "rattn"},
                 {"model_args",
                  {{"pretrained", facts.checkpoint.folder},
                   {"overrides", facts.identity["overrides"]},
                   {"backend", facts.checkpoint.execution.backend}}},
                 {"model_dtype", facts.checkpoint.execution.dtype},
                 {"model_revision", nullptr},
                 {"model_sha", facts.identity["weights"]},
                 {"device", "cpu"}};
  config.update(facts.flags);
  const Json build = BuildFacts();
  const PromptFormat& format = facts.format;
  const std::string chat = format.chat == nullptr ? "" : format.chat->text();
  return {
      {"config", config},
      {"git_hash", build["git"].is_object() ? build["git"]["commit"] : Json()},
      {"date", std::chrono::duration<double>(
                   std::chrono::system_clock::now().time_since_epoch())
                   .count()},
      {"lm_eval_version", kSemantics},
      {"tokenizer_bos_token", TokenOf(tokenizer, tokenizer.bos())},
      {"tokenizer_eos_token", TokenOf(tokenizer, tokenizer.eos())},
      {"eot_token_id", tokenizer.eos()},
      {"max_length", facts.max_length},
      {"model_source", "rattn"},
      {"model_name", facts.checkpoint.folder},
      {"model_name_sanitized", Sanitized(facts.checkpoint.folder)},
      {"system_instruction", TextOrNull(format.system)},
      {"system_instruction_sha", HashOrNull(format.system)},
      {"fewshot_as_multiturn", format.multiturn},
      {"chat_template", TextOrNull(chat)},
      {"chat_template_sha", HashOrNull(chat)},
      {"total_evaluation_time_seconds", fmt::format("{}", facts.seconds)},
      {"rattn", OursOf(result, facts)}};
}

struct OutputNames {
  fs::path folder, results;
};

OutputNames NamesOf(const std::string& output, const EvalRunFacts& facts) {
  const fs::path path(output);
  if (path.extension() == ".json") {
    fs::path folder = path.parent_path();
    if (folder.empty()) folder = ".";
    return {folder, folder / fmt::format("{}_{}.json", path.stem().string(),
                                         facts.date)};
  }
  const fs::path folder = path / Sanitized(facts.checkpoint.folder);
  return {folder, folder / fmt::format("results_{}.json", facts.date)};
}

}  // namespace

std::string EvalTime() {
  using std::chrono::system_clock;
  const auto now = system_clock::now();
  const auto micros = std::chrono::duration_cast<std::chrono::microseconds>(
                          now.time_since_epoch())
                          .count() %
                      1000000;
  return fmt::format("{:%Y-%m-%dT%H-%M-%S}.{:06}",
                     fmt::localtime(system_clock::to_time_t(now)), micros);
}

Json EvalResultsJson(const CheckpointEvalResult& result,
                     const EvalRunFacts& facts) {
  CheckFinite(result);
  Json json =
      LmEvalResults(result.results, result.groups, RunJson(result, facts));
  for (const TextEvalResult& one : result.results) {
    json["results"][one.name]["made_by"] = MadeByOf(one, facts);
  }
  if (!result.ruler.empty()) json["ruler"] = RulerJson(result);
  return json;
}

std::string WriteEvalFiles(const std::string& output, const Json& json,
                           const CheckpointEvalResult& result,
                           const EvalRunFacts& facts) {
  const OutputNames names = NamesOf(output, facts);
  MakeWritableFolder(names.folder.string());
  for (const TextEvalResult& one : result.results) {
    for (const auto& [name, text] : one.files) {
      const fs::path path = names.folder / facts.date / name;
      MakeWritableFolder(path.parent_path().string());
      WriteFileAtomically(path.string(), text);
    }
    if (one.samples.empty()) continue;
    std::string lines;
    for (const Json& sample : one.samples) lines += sample.dump() + "\n";
    const fs::path path =
        names.folder / fmt::format("samples_{}_{}.jsonl", one.name, facts.date);
    WriteFileAtomically(path.string(), lines);
  }
  WriteFileAtomically(names.results.string(), json.dump(2) + "\n");
  return names.results.string();
}

std::string EvalTables(const Json& json, const CheckpointEvalResult& result) {
  std::string text = LmEvalTable(json, "results");
  if (json.contains("groups")) text += "\n" + LmEvalTable(json, "groups");
  if (!result.ruler.empty()) {
    text += fmt::format("\nRULER, mode {} ({})\n{}",
                        RulerModeName(result.ruler_mode),
                        RulerGeneratorVersion(result.ruler_mode),
                        RulerSummaryTable(result.ruler));
  }
  return text;
}

}  // namespace rattn
