#include "tasks/files/mmlu.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <utility>

#include "models/error.h"
#include "tasks/files/text_task_loaders.h"
#include "tasks/python_text.h"

namespace rattn {
namespace {

struct Preset {
  std::string_view prefix;
  const char* header;
  bool strip_question;
  int64_t shots;
  int64_t most_prompt_tokens;
  const char* anatomy;
  const char* note;
};

constexpr std::array<Preset, 3> kPresets = {
    {{"mmlu_original",
      "The following are multiple choice questions (with answers) about  "
      "{}.\n\n",
      false, 5, 2048, "other",
      "preset original: anatomy counts as other, quoted by question"},
     {"mmlu_leaderboard",
      "The following are multiple choice questions (with answers) about "
      "{}.\n\n",
      true, 5, 0, "stem",
      "preset leaderboard: anatomy counts as STEM, quoted by subject"},
     {"mmlu",
      "The following are multiple choice questions (with answers) about "
      "{}.\n\n",
      true, 0, 0, "stem",
      "preset lm-eval: anatomy counts as STEM, quoted by question"}}};

// In the order of lm-eval's group.
constexpr std::array<std::pair<const char*, const char*>, 4> kCategories = {
    {{"stem", "stem"},
     {"other", "other"},
     {"social_sciences", "social sciences"},
     {"humanities", "humanities"}}};

struct Subject {
  std::string name;
  std::string category;
};

void AddCategory(const char* category, std::vector<std::string> names,
                 std::vector<Subject>* subjects) {
  for (std::string& name : names) {
    subjects->push_back({std::move(name), category});
  }
}

std::vector<Subject> Subjects(const Preset& preset) {
  std::vector<Subject> all;
  AddCategory(
      "stem",
      {"abstract_algebra", "astronomy", "college_biology", "college_chemistry",
       "college_computer_science", "college_mathematics", "college_physics",
       "computer_security", "conceptual_physics", "electrical_engineering",
       "elementary_mathematics", "high_school_biology", "high_school_chemistry",
       "high_school_computer_science", "high_school_mathematics",
       "high_school_physics", "high_school_statistics", "machine_learning"},
      &all);
  AddCategory(
      "humanities",
      {"formal_logic", "high_school_european_history", "high_school_us_history",
       "high_school_world_history", "international_law", "jurisprudence",
       "logical_fallacies", "moral_disputes", "moral_scenarios", "philosophy",
       "prehistory", "professional_law", "world_religions"},
      &all);
  AddCategory(
      "social_sciences",
      {"econometrics", "high_school_geography",
       "high_school_government_and_politics", "high_school_macroeconomics",
       "high_school_microeconomics", "high_school_psychology",
       "human_sexuality", "professional_psychology", "public_relations",
       "security_studies", "sociology", "us_foreign_policy"},
      &all);
  AddCategory("other",
              {"business_ethics", "clinical_knowledge", "college_medicine",
               "global_facts", "human_aging", "management", "marketing",
               "medical_genetics", "miscellaneous", "nutrition",
               "professional_accounting", "professional_medicine", "virology"},
              &all);
  AddCategory(preset.anatomy, {"anatomy"}, &all);
  std::sort(all.begin(), all.end(),
            [](const Subject& a, const Subject& b) { return a.name < b.name; });
  return all;
}

// "mmlu_original_stem" -> preset and "stem"; "" for the whole.
std::optional<std::pair<const Preset*, std::string>> Split(
    const std::string& name) {
  for (const Preset& preset : kPresets) {
    if (name == preset.prefix) return {{&preset, ""}};
    if (name.starts_with(std::string(preset.prefix) + "_")) {
      return {{&preset, name.substr(preset.prefix.size() + 1)}};
    }
  }
  return std::nullopt;
}

std::string TaskName(const Preset& preset, const std::string& part) {
  return fmt::format("{}_{}", preset.prefix, part);
}

TextDocument MmluDocument(const Preset& preset, const std::string& subject,
                          const std::string& question,
                          const std::vector<std::string>& choices,
                          size_t gold) {
  const std::string_view shown =
      preset.strip_question ? PythonStrip(question) : question;
  Json row = {{"question", question},
              {"subject", subject},
              {"choices", choices},
              {"answer", gold}};
  return ChoiceDocument(
      std::move(row),
      fmt::format("{}\nA. {}\nB. {}\nC. {}\nD. {}\nAnswer:", shown, choices[0],
                  choices[1], choices[2], choices[3]),
      {"A", "B", "C", "D"}, gold);
}

std::vector<TextDocument> FromCsv(const Preset& preset,
                                  const std::string& subject,
                                  const std::string& name, DataFolder* data) {
  std::vector<TextDocument> documents;
  for (const CsvRow& row : data->Csv(name)) {
    if (row.cells.size() != 6 || row.cells[5].size() != 1 ||
        row.cells[5][0] < 'A' || row.cells[5][0] > 'D') {
      throw UserError(fmt::format(
          "{}:{}: must have six cells, the last one A, B, C or D; has {}",
          data->Path(name), row.line, row.cells.size()));
    }
    documents.push_back(
        MmluDocument(preset, subject, row.cells[0],
                     {row.cells.begin() + 1, row.cells.begin() + 5},
                     static_cast<size_t>(row.cells[5][0] - 'A')));
  }
  return documents;
}

std::vector<TextDocument> FromJsonl(const Preset& preset,
                                    const std::string& subject,
                                    const std::string& name, DataFolder* data) {
  std::vector<TextDocument> documents;
  for (const DataRow& row : data->Jsonl(name)) {
    if (row.Text("subject") != subject) continue;
    const auto choices = row.Texts("choices");
    if (choices.size() != 4) row.Fail("\"choices\" must be 4");
    documents.push_back(
        MmluDocument(preset, subject, row.Text("question"), choices,
                     static_cast<size_t>(row.Integer("answer", 0, 3))));
  }
  if (documents.empty()) {
    throw UserError(fmt::format("{}: no rows of the subject {}",
                                data->Path(name), subject));
  }
  return documents;
}

std::vector<TextDocument> Documents(const Preset& preset,
                                    const std::string& subject,
                                    const char* split, DataFolder* data,
                                    std::string* source) {
  const std::string csv =
      fmt::format("mmlu/data/{}/{}_{}.csv", split, subject, split);
  *source = data->Find({csv, fmt::format("mmlu/{}.jsonl", split)});
  return *source == csv ? FromCsv(preset, subject, csv, data)
                        : FromJsonl(preset, subject, *source, data);
}

TextTask MakeSubject(const Preset& preset, const std::string& subject,
                     DataFolder* data) {
  TextTask task;
  task.name = TaskName(preset, subject);
  task.alias = subject;
  task.version = 1.0;
  task.metrics = {"acc"};
  task.description =
      fmt::format(fmt::runtime(preset.header), ReplaceAll(subject, "_", " "));
  task.default_shots = preset.shots;
  task.most_prompt_tokens = preset.most_prompt_tokens;
  task.sampler = ShotSampler::kFirst;
  std::string source;
  task.documents = Documents(preset, subject, "test", data, &source);
  task.file_hashes[source] = data->hashes().at(source);
  task.shots = Documents(preset, subject, "dev", data, &task.shot_source);
  task.file_hashes[task.shot_source] = data->hashes().at(task.shot_source);
  return task;
}

void AddGroup(const Preset& preset, const std::string& category,
              const char* alias, DataFolder* data, TextSuite* suite) {
  TextGroup group{TaskName(preset, category), alias, 2, {}, preset.note};
  for (const Subject& subject : Subjects(preset)) {
    if (subject.category != category) continue;
    suite->tasks.push_back(MakeSubject(preset, subject.name, data));
    group.members.push_back(suite->tasks.back().name);
  }
  suite->groups.push_back(std::move(group));
}

}  // namespace

std::vector<std::string> MmluNames() {
  std::vector<std::string> names;
  for (const Preset& preset : kPresets) {
    names.emplace_back(preset.prefix);
    for (const auto& [category, alias] : kCategories) {
      names.push_back(TaskName(preset, category));
    }
    for (const Subject& subject : Subjects(preset)) {
      names.push_back(TaskName(preset, subject.name));
    }
  }
  return names;
}

bool AddMmlu(const std::string& name, DataFolder* data, TextSuite* suite) {
  const auto split = Split(name);
  if (!split) return false;
  const auto& [preset, part] = *split;
  TextGroup all{std::string(preset->prefix),
                std::string(preset->prefix),
                2,
                {},
                preset->note};
  for (const auto& [category, alias] : kCategories) {
    if (!part.empty() && part != category) continue;
    AddGroup(*preset, category, alias, data, suite);
    all.members.push_back(suite->groups.back().name);
    if (part == category) return true;
  }
  if (part.empty()) {
    suite->groups.push_back(std::move(all));
    return true;
  }
  for (const Subject& subject : Subjects(*preset)) {
    if (subject.name != part) continue;
    suite->tasks.push_back(MakeSubject(*preset, part, data));
    return true;
  }
  return false;
}

}  // namespace rattn
