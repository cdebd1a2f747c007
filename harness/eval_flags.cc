#include "harness/eval_flags.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>

#include "harness/kind_fields.h"
#include "harness/verbs.h"
#include "models/error.h"

namespace rattn {
namespace {

constexpr const char* kGroup = "Checkpoints from disk";
constexpr std::array<int64_t, 4> kSeeds = {0, 1234, 1234, 1234};
constexpr int64_t kBootstrapDraws = 100000;
// Of the flags that models trained here have.
constexpr std::array kShared = {"model",   "window_keys", "variant",    "sinks",
                                "dtype",   "backend",     "threads",    "seed",
                                "samples", "task",        "task_params"};

int64_t IntegerOf(const Json& fields, const char* key, int64_t otherwise,
                  int64_t least) {
  if (!fields.contains(key)) return otherwise;
  const Json& value = fields[key];
  if (value.is_number_integer() && value.get<int64_t>() >= least) return value;
  throw UserError(fmt::format("{} must be an integer of at least {}, not {}",
                              key, least, ValueText(value)));
}

std::string TextOf(const Json& fields, const char* key,
                   const std::string& otherwise) {
  return fields.contains(key) ? ValueText(fields[key]) : otherwise;
}

void CheckShared(const Json& fields) {
  for (const auto& [key, value] : fields.items()) {
    if (std::find(kShared.begin(), kShared.end(), key) == kShared.end()) {
      throw UserError(fmt::format(
          "{} is for models that are trained here, not for checkpoints from "
          "disk",
          key));
    }
  }
  if (TextOf(fields, "task", "text") != "text") {
    throw UserError("--task is for models that are trained here: use --tasks");
  }
}

std::string TextFileOf(const Json& fields) {
  const Json params = fields.value("task_params", Json::object());
  for (const auto& [key, value] : params.items()) {
    if (key != "train_file") {
      throw UserError("--param is for models that are trained here");
    }
  }
  return params.contains("train_file") ? ValueText(params["train_file"]) : "";
}

// lm-eval's --samples {"TASK": [0, 5, ...]}.
std::map<std::string, std::vector<int64_t>> SamplesOf(const Json& fields) {
  std::map<std::string, std::vector<int64_t>> samples;
  const Json given = fields.value("samples", Json());
  if (!given.is_object()) return samples;
  for (const auto& [task, numbers] : given.items()) {
    const bool integers =
        numbers.is_array() && !numbers.empty() &&
        std::all_of(numbers.begin(), numbers.end(),
                    [](const Json& n) { return n.is_number_integer(); });
    if (!integers) {
      throw UserError(fmt::format(
          "--samples: '{}' needs a list of numbers of documents", task));
    }
    samples[task] = numbers.get<std::vector<int64_t>>();
  }
  return samples;
}

// 0 for lm-eval's "auto" and "auto:N".
int64_t ParseBatchSize(const std::string& text) {
  const bool is_auto = text.starts_with("auto:");
  if (text == "auto") return 0;
  const char* const end = text.data() + text.size();
  int64_t number = 0;
  const auto [read, error] =
      std::from_chars(text.data() + (is_auto ? 5 : 0), end, number);
  if (error == std::errc() && read == end && number > 0) {
    return is_auto ? 0 : number;
  }
  throw UserError(fmt::format(
      "--batch-size must be a number above 0, auto or auto:N, not {}", text));
}

}  // namespace

void EvalFlags::AddTo(CLI::App* app) {
  const auto add = [&](const char* names, auto& value, const char* help) {
    return app->add_option(names, value, help)->group(kGroup);
  };
  const auto flag = [&](const char* names, bool& value, const char* help) {
    app->add_flag(names, value, help)->group(kGroup);
  };
  add("-t,--tasks", tasks,
      "tasks on real text, a list: rattn list text-tasks; ruler = its 13")
      ->delimiter(',');
  add("--data", data, "folder of their data (default: $RATTN_DATA)");
  add("-f,--num-fewshot", shots, "examples before a question");
  flag("--per-document-shots", per_document_shots,
       "draw them by the document's number, so that no other document counts");
  add("-L,--limit", limit, "documents of a task; below 1 a share");
  add("-b,--batch-size", batch_size,
      "sequences side by side at most (auto: what is fast); no result changes");
  flag("--deterministic,!--no-deterministic", deterministic,
       "always on: no result depends on batches, order or threads");
  add("-o,--output-path", output,
      "folder, or file.json, for results and samples");
  add("-c,--use-cache", journal,
      "journal of answers, resumed from (default: one in the cache; none)");
  add("--gen-kwargs", generation, "KEY=VALUE,... or JSON over a task's own");
  flag("--apply-chat-template", chat,
       "prompts as the tokenizer's chat template lays a conversation out");
  flag("--fewshot-as-multiturn", multiturn,
       "with it: examples as turns, not in one message");
  add("--system-instruction", system, "text ahead of every prompt");
  flag("-w,--write-out", write_out,
       "print the first prompt with its first and last tokens");
  flag("-x,--predict-only", predict_only, "log answers, score nothing");
  flag("--show-config", show_config, "print the tasks' settings");
  add("--mixer", mixer, "variant in place of the model's own, such as full");
  add("--layers", layers,
      "what --window and --mixer change: local or all (default: local layers "
      "where there are any, else all)");
  add("--ruler-mode", ruler_mode, "official, fresh or lm-eval")
      ->capture_default_str();
  add("--ruler-seed", ruler_seed, "of RULER's draws")->capture_default_str();
  add("--ruler-wrapper", ruler_wrapper, "chat template around {task_template}");
  add("--templates", ruler_paths.templates, "RULER's templates.json");
  add("--haystack", ruler_paths.haystack, "any text file for RULER");
  add("--context", context,
      "tokens that the model sees in perplexity (default: its length)");
  add("--stride", stride,
      "tokens that each of these windows scores (default: all)");
}

double ParseLimit(const std::string& text) {
  double limit = 0;
  const auto [end, error] =
      std::from_chars(text.data(), text.data() + text.size(), limit);
  if (error == std::errc() && end == text.data() + text.size() &&
      std::isfinite(limit) && limit > 0) {
    return limit;
  }
  throw UserError(
      fmt::format("--limit must be a count, or a share below 1, not {}", text));
}

std::array<int64_t, 4> ParseSeeds(const std::string& text) {
  std::array<int64_t, 4> seeds = kSeeds;
  const Json list = Json::parse("[" + text + "]", nullptr, false);
  const size_t n = list.is_array() ? list.size() : 0;
  bool good = n == 1 || n == 3 || n == 4;
  for (size_t i = 0; good && i < n; ++i) {
    good = list[i].is_number_integer() && list[i].get<int64_t>() >= 0;
    if (good) seeds[i] = list[i];
  }
  if (!good) {
    throw UserError(fmt::format(
        "--seed must be 1, 3 or 4 integers such as 0,1234,1234,1234, not {}",
        text));
  }
  if (n == 1) seeds.fill(seeds[0]);
  return seeds;
}

Json ParseGeneration(const std::string& text) {
  if (text.empty()) return Json::object();
  if (text.starts_with("{")) return ParseJsonText(text, "--gen-kwargs");
  Json settings = Json::object();
  for (size_t at = 0; at <= text.size();) {
    const size_t end = std::min(text.find(',', at), text.size());
    const std::string pair = text.substr(at, end - at);
    const size_t equals = pair.find('=');
    if (equals == std::string::npos || equals == 0) {
      throw UserError(fmt::format(
          "--gen-kwargs '{}': write KEY=VALUE,KEY=VALUE or a JSON object",
          pair));
    }
    settings[pair.substr(0, equals)] = ParseValue(pair.substr(equals + 1));
    at = end + 1;
  }
  return settings;
}

CheckpointSpec CheckpointSpecOf(const EvalFlags& flags, const Json& fields) {
  CheckShared(fields);
  CheckpointSpec spec;
  if (!fields.contains("model")) throw UserError("--model DIR is missing");
  spec.folder = FindCheckpoint(ValueText(fields["model"]));
  spec.overrides.window_keys = IntegerOf(fields, "window_keys", 0, 1);
  spec.overrides.sinks = IntegerOf(fields, "sinks", -1, 0);
  spec.overrides.variant =
      flags.mixer.empty() ? TextOf(fields, "variant", "") : flags.mixer;
  spec.overrides.layers = flags.layers;
  spec.execution.backend = TextOf(fields, "backend", "cpu");
  spec.execution.dtype =
      CheckpointDtype(TextOf(fields, "dtype", "fp32"), spec.folder);
  spec.execution.threads = static_cast<int>(
      std::min(IntegerOf(fields, "threads", 0, 0), kMostThreads));
  spec.execution.batch = ParseBatchSize(flags.batch_size);
  CheckNamed(Json::object({{"backend", spec.execution.backend}}), "backend",
             BackendNames(/*with_aten=*/true), "eval");
  return spec;
}

CheckpointEvalOptions CheckpointEvalOptionsOf(
    const EvalFlags& flags, const Json& fields,
    const std::vector<int64_t>& lengths) {
  if (!flags.deterministic) {
    throw UserError("--no-deterministic: there is no faster way that differs");
  }
  if (flags.multiturn && !flags.chat) {
    throw UserError("--fewshot-as-multiturn needs --apply-chat-template");
  }
  CheckpointEvalOptions options;
  options.tasks = flags.tasks;
  options.text.format.system = flags.system;
  options.data = flags.data;
  if (flags.shots >= 0) options.text.shots = flags.shots;
  if (!flags.limit.empty()) options.text.limit = ParseLimit(flags.limit);
  options.text.shot_seed = static_cast<uint64_t>(
      ParseSeeds(TextOf(fields, "seed", "0,1234,1234,1234"))[3]);
  if (flags.per_document_shots) {
    options.text.shot_order = ShotOrder::kPerDocument;
  }
  options.text.generation = ParseGeneration(flags.generation);
  options.text.bootstrap_draws = kBootstrapDraws;
  options.text.log_samples = flags.predict_only;
  options.samples = SamplesOf(fields);
  options.ruler.mode = ParseRulerMode(flags.ruler_mode);
  if (!lengths.empty()) options.ruler.lengths = lengths;
  options.ruler.request.seed = flags.ruler_seed;
  if (!flags.ruler_wrapper.empty()) {
    options.ruler.request.wrapper = flags.ruler_wrapper;
  }
  if (options.samples.empty()) {
    options.ruler.request.samples =
        IntegerOf(fields, "samples", options.ruler.request.samples, 1);
  }
  options.ruler_paths = flags.ruler_paths;
  options.text_file = TextFileOf(fields);
  options.perplexity.stride = flags.stride;
  options.perplexity.window = flags.context;
  options.predict_only = flags.predict_only;
  return options;
}

Json LmEvalConfigOf(const EvalFlags& flags, const Json& fields) {
  const auto seeds = ParseSeeds(TextOf(fields, "seed", "0,1234,1234,1234"));
  return {
      {"batch_size", flags.batch_size},
      {"batch_sizes", Json::array()},
      {"use_cache", flags.journal.empty() ? Json() : Json(flags.journal)},
      {"limit", flags.limit.empty() ? Json() : Json(ParseLimit(flags.limit))},
      {"bootstrap_iters", kBootstrapDraws},
      {"gen_kwargs", ParseGeneration(flags.generation)},
      {"random_seed", seeds[0]},
      {"numpy_seed", seeds[1]},
      {"torch_seed", seeds[2]},
      {"fewshot_seed", seeds[3]}};
}

}  // namespace rattn
