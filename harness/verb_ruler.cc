// rattn ruler: writes RULER's data files, scores prediction files.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <filesystem>
#include <memory>

#include "harness/file_io.h"
#include "harness/verb_functions.h"
#include "models/error.h"
#include "models/sha256.h"
#include "tasks/ruler_text/make_data.h"
#include "tasks/ruler_text/summary.h"

namespace rattn {
namespace {

namespace fs = std::filesystem;

constexpr const char* kFiles = R"(

Files of --data (names in brackets are other usual ones):
  ruler/templates.json               modes official and lm-eval
  haystack/essays.txt (PaulGrahamEssays.json)
  wonderwords/nounlist.txt, adjectivelist.txt, verblist.txt
  squad_v2/dev-v2.0.json (squad.json)
  hotpotqa/hotpot_dev_distractor_v1.json (hotpotqa.json)
  english_words.json                 cwe near 131072 tokens
Files of --out: LENGTH/data/TASK/validation.jsonl, and beside each
  validation.json, which says what made it. Predictions to score are
  LENGTH/pred/TASK.jsonl with "pred" and "outputs" in every line.)";

struct RulerVerbOptions {
  std::vector<std::string> tasks;
  std::vector<int64_t> lengths = {4096};
  std::string mode = "official";
  std::string tokenizer, out;
  RulerRequest request;
  RulerSourcePaths paths;
  std::vector<std::string> score;
  bool json = false;
};

std::vector<const RulerTextTask*> ChosenTasks(
    const std::vector<std::string>& names) {
  std::vector<const RulerTextTask*> tasks;
  for (const std::string& name : names) {
    tasks.push_back(&FindRulerTextTask(name));
  }
  if (!names.empty()) return tasks;
  for (const RulerTextTask& task : RulerTextTasks()) tasks.push_back(&task);
  return tasks;
}

// Whether the file is what this identity made, whole and unchanged.
bool IsMade(const fs::path& data, const fs::path& record,
            const Json& identity) {
  std::error_code none;
  if (!fs::is_regular_file(data, none) || !fs::is_regular_file(record, none)) {
    return false;
  }
  try {
    const Json made = ReadJsonFile(record.string());
    return made.is_object() && made.contains("made_by") &&
           made["made_by"] == identity && made.contains("sha256") &&
           made["sha256"] ==
               Sha256Hex(ReadTextFile(data.string(), fs::file_size(data)));
  } catch (const UserError&) {
    return false;
  }
}

Json MakeFile(const RulerVerbOptions& options, RulerMode mode,
              const RulerTextTask& task, const RulerRequest& request,
              RulerSources* sources, const Tokenizer& tokenizer) {
  const fs::path folder = fs::path(options.out) /
                          std::to_string(request.length) / "data" / task.name;
  const fs::path data = folder / "validation.jsonl";
  const fs::path record = folder / "validation.json";
  const Json identity = RulerIdentity(mode, task, request, sources, tokenizer);
  const bool kept = IsMade(data, record, identity);
  if (!kept) {
    const std::vector<RulerTextSample> samples =
        MakeRulerSamples(mode, task, request, sources, tokenizer);
    const std::string file = RulerDataFile(samples);
    MakeWritableFolder(folder.string());
    WriteFileAtomically(data.string(), file);
    const Json made = {
        {"made_by", identity},
        {"sha256", Sha256Hex(file)},
        {"samples", samples.size()},
        {"tokens_to_generate", samples.front().tokens_to_generate}};
    WriteFileAtomically(record.string(), made.dump(2) + "\n");
  }
  if (!options.json) {
    fmt::print("{} {}\n", data.string(), kept ? "is there" : "written");
    std::fflush(stdout);
  }
  return {{"file", data.string()}, {"kept", kept}, {"made_by", identity}};
}

int MakeFiles(const RulerVerbOptions& options) {
  const RulerMode mode = ParseRulerMode(options.mode);
  const std::vector<const RulerTextTask*> tasks = ChosenTasks(options.tasks);
  for (const auto& [flag, value] : {std::pair{"--tokenizer", options.tokenizer},
                                    std::pair{"--out", options.out},
                                    std::pair{"--data", options.paths.data}}) {
    if (value.empty()) throw UserError(fmt::format("{} is missing", flag));
  }
  const std::unique_ptr<Tokenizer> tokenizer = LoadTokenizer(options.tokenizer);
  RulerSources sources(options.paths);
  Json files = Json::array();
  for (const int64_t length : options.lengths) {
    RulerRequest request = options.request;
    request.length = length;
    for (const RulerTextTask* task : tasks) {
      files.push_back(
          MakeFile(options, mode, *task, request, &sources, *tokenizer));
    }
  }
  if (options.json) fmt::print("{}\n", files.dump(2));
  return kExitDone;
}

// Prediction files of a folder, or the file itself.
std::vector<fs::path> PredictionFiles(const std::string& path) {
  std::error_code none;
  if (!fs::is_directory(path, none)) return {path};
  std::vector<fs::path> files;
  for (const auto& entry : fs::recursive_directory_iterator(path)) {
    if (entry.path().extension() == ".jsonl" &&
        entry.path().parent_path().filename() == "pred") {
      files.push_back(entry.path());
    }
  }
  if (files.empty()) {
    throw UserError(
        fmt::format("--score '{}' holds no LENGTH/pred/TASK.jsonl", path));
  }
  std::sort(files.begin(), files.end());
  return files;
}

// The nearest folder above that is a number, else --lengths.
int64_t LengthOf(const fs::path& file, int64_t otherwise) {
  for (fs::path folder = fs::absolute(file).parent_path();
       folder.has_relative_path(); folder = folder.parent_path()) {
    const std::string name = folder.filename().string();
    if (!name.empty() && name.size() < 10 &&
        name.find_first_not_of("0123456789") == name.npos) {
      return std::stoll(name);
    }
  }
  return otherwise;
}

// What made the data that was predicted on, where it lies beside it.
Json MadeBy(const fs::path& file, const RulerTextTask& task) {
  const fs::path record =
      file.parent_path().parent_path() / "data" / task.name / "validation.json";
  std::error_code none;
  if (!fs::is_regular_file(record, none)) return nullptr;
  return ReadJsonFile(record.string());
}

int ScoreFiles(const RulerVerbOptions& options) {
  const RulerMode mode = ParseRulerMode(options.mode);
  std::vector<RulerScoreRow> rows;
  Json json = Json::array();
  for (const std::string& path : options.score) {
    for (const fs::path& file : PredictionFiles(path)) {
      const RulerTextTask& task = FindRulerTextTask(file.stem().string());
      rows.push_back(
          {std::string(task.name), LengthOf(file, options.lengths.front()),
           ScoreRulerTask(ReadRulerPredictions(file.string()), task, mode)});
      json.push_back({{"task", task.name},
                      {"mode", RulerModeName(mode)},
                      {"length", rows.back().length},
                      {"score", rows.back().score.score},
                      {"nulls", rows.back().score.nulls},
                      {"samples", rows.back().score.samples},
                      {"made_by", MadeBy(file, task)}});
    }
  }
  if (options.json) {
    fmt::print("{}\n", json.dump(2));
  } else {
    fmt::print("mode {}\n{}", RulerModeName(mode), RulerSummaryTable(rows));
  }
  return kExitDone;
}

int RunRuler(const RulerVerbOptions& options) {
  return options.score.empty() ? MakeFiles(options) : ScoreFiles(options);
}

}  // namespace

void AddRuler(CLI::App& app, Action* action) {
  auto options = std::make_shared<RulerVerbOptions>();
  app.add_option("--tasks", options->tasks, "names; all 13 if absent")
      ->delimiter(',');
  app.add_option("--lengths", options->lengths,
                 "tokens of prompt and answer together")
      ->delimiter(',')
      ->capture_default_str();
  app.add_option("--samples", options->request.samples, "of each task")
      ->capture_default_str();
  app.add_option("--mode", options->mode,
                 "official (NVIDIA/RULER byte for byte), fresh or lm-eval")
      ->capture_default_str();
  app.add_option("--seed", options->request.seed, "of the draws")
      ->capture_default_str();
  app.add_option("--tokenizer", options->tokenizer,
                 "folder with tokenizer.json or tokenizer.model");
  app.add_option("--data", options->paths.data, "folder of texts and lists");
  app.add_option("--templates", options->paths.templates, "templates.json");
  app.add_option("--haystack", options->paths.haystack, "any text file");
  app.add_option("--sentences", options->paths.sentences,
                 "table of the haystack's sentences");
  app.add_option("--wrapper", options->request.wrapper,
                 "chat template around {task_template}")
      ->capture_default_str();
  app.add_option("--out", options->out, "folder of the data files");
  app.add_option("--score", options->score,
                 "prediction files TASK.jsonl or folders of them")
      ->delimiter(',');
  app.add_flag("--json", options->json, "machine-readable output");
  app.footer(app.get_footer() + kFiles);
  *action = [options] { return RunRuler(*options); };
}

}  // namespace rattn
