// rattn list: everything that can be named in a flag or a config.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <memory>
#include <numeric>

#include "harness/text_format.h"
#include "harness/verb_functions.h"
#include "kernels/backend.h"
#include "kernels/catalog.h"
#include "models/config_files.h"
#include "models/json_fields.h"
#include "tasks/files/text_task_list.h"
#include "tasks/ruler_text/text_tasks.h"
#include "tasks/task.h"

namespace rattn {
namespace {

Json VariantRows() {
  Json rows = Json::array();
  for (const Variant& variant : Catalog()) {
    rows.push_back({{"name", variant.name},
                    {"window", variant.takes_window},
                    {"ablation", variant.ablation},
                    {"summary", variant.summary},
                    {"source", variant.source}});
  }
  return rows;
}

Json BackendRows() {
  Json rows = Json::array();
  for (const BackendEntry& entry : BackendList()) {
    Json row = {{"name", entry.name}, {"summary", entry.summary}};
    if (entry.on_demand) {
      // Asking it would load LibTorch, which takes half a second.
      row["usable"] = nullptr;
      row["state"] = "loaded when used";
    } else {
      std::string reason;
      const Backend* backend = entry.get(&reason);
      row["usable"] = backend != nullptr;
      row["state"] = backend != nullptr ? backend->description() : reason;
    }
    rows.push_back(row);
  }
  return rows;
}

Json TaskRows() {
  Json rows = Json::array();
  for (const TaskEntry& task : TaskList()) {
    rows.push_back({{"name", task.name}, {"summary", task.summary}});
  }
  return rows;
}

// Tasks of checkpoints from disk, with their files in the data folder.
Json TextTaskRows() {
  Json rows = Json::array();
  for (const TextTaskEntry& task : TextTaskList()) {
    rows.push_back({{"name", task.name},
                    {"summary", task.summary},
                    {"files", fmt::format("{}", fmt::join(task.files, ", "))}});
  }
  rows.push_back(
      {{"name", "mmlu"},
       {"summary", "and mmlu_original, mmlu_leaderboard, mmlu_X"},
       {"files", "mmlu/data/dev/X_dev.csv, mmlu/data/test/X_test.csv"}});
  rows.push_back({{"name", "perplexity"},
                  {"summary", "of a text file in windows"},
                  {"files", "--text FILE"}});
  rows.push_back({{"name", "ruler"},
                  {"summary", "RULER's 13 tasks"},
                  {"files", "rattn ruler --help"}});
  for (const RulerTextTask& task : RulerTextTasks()) {
    rows.push_back(
        {{"name", task.name}, {"summary", "of RULER"}, {"files", ""}});
  }
  return rows;
}

// Name and what the file says about itself.
Json ConfigRows(const std::string& kind, const char* about) {
  Json rows = Json::array();
  for (const std::string& name : ListConfigs(kind)) {
    const Json config = ReadJsonFile(FindConfig(kind, name));
    rows.push_back({{"name", name}, {"summary", config.value(about, "")}});
  }
  return rows;
}

struct Section {
  const char* name;
  Json (*rows)();
};
constexpr std::array kSections = {
    Section{"variants", VariantRows},
    Section{"backends", BackendRows},
    Section{"tasks", TaskRows},
    Section{"text-tasks", TextTaskRows},
    Section{"configs", [] { return ConfigRows("", "description"); }},
    Section{"models", [] { return ConfigRows("models", "source"); }},
    Section{"hardware", [] { return ConfigRows("hardware", "source"); }},
};

std::string CellText(const Json& value) {
  if (value.is_boolean()) return value.get<bool>() ? "yes" : "no";
  if (value.is_null()) return "-";
  return value.is_string() ? value.get<std::string>() : value.dump();
}

void PrintSection(const Section& section) {
  const Json rows = section.rows();
  fmt::print("{} ({})\n", section.name, rows.size());
  if (rows.empty()) return;
  std::vector<std::string> header;
  for (const auto& [key, value] : rows[0].items()) header.push_back(key);
  std::vector<size_t> left(header.size());
  std::iota(left.begin(), left.end(), size_t{0});
  TextTable table(header, left);
  for (const Json& row : rows) {
    std::vector<std::string> cells;
    for (const auto& [key, value] : row.items()) {
      cells.push_back(CellText(value));
    }
    table.Add(cells);
  }
  fmt::print("{}", table.Plain());
}

struct ListOptions {
  std::string what;
  bool json = false;
};

int RunList(const ListOptions& options) {
  Json json = Json::object();
  bool first = true;
  for (const Section& section : kSections) {
    if (!options.what.empty() && options.what != section.name) continue;
    if (options.json) {
      json[section.name] = section.rows();
      continue;
    }
    if (!first) fmt::print("\n");
    first = false;
    PrintSection(section);
  }
  if (options.json) fmt::print("{}\n", json.dump(2));
  return kExitDone;
}

}  // namespace

void AddList(CLI::App& app, Action* action) {
  auto options = std::make_shared<ListOptions>();
  std::vector<std::string> names;
  for (const Section& section : kSections) names.emplace_back(section.name);
  app.add_option("what", options->what, "what to list (default: everything)")
      ->check(CLI::IsMember(names));
  app.add_flag("--json", options->json, "machine-readable output");
  *action = [options] { return RunList(*options); };
}

}  // namespace rattn
