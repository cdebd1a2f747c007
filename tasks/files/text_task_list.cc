#include "tasks/files/text_task_list.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <utility>

#include "kernels/nearest_name.h"
#include "models/error.h"
#include "tasks/files/mmlu.h"
#include "tasks/files/text_task_loaders.h"

namespace rattn {
namespace {

using enum OutputKind;

TextTask MakeTextTask(const TextTaskEntry& entry, DataFolder* folder) {
  // A folder of its own, so that the hashes are those of this task.
  DataFolder data = folder->Fresh();
  TextTask task;
  task.name = task.alias = entry.name;
  task.version = entry.version;
  task.output = entry.output;
  task.metrics = entry.metrics;
  task.default_shots = entry.default_shots;
  task.most_shots = entry.most_shots;
  task.leave_one_out = entry.leave_one_out;
  entry.load(&data, &task);
  task.file_hashes.insert(data.hashes().begin(), data.hashes().end());
  return task;
}

bool HasName(const TextTaskEntry& entry, const std::string& name) {
  return entry.name == name ||
         std::find(entry.aliases.begin(), entry.aliases.end(), name) !=
             entry.aliases.end();
}

// Keeps the first of those that have the same name.
template <typename T>
void KeepFirst(std::vector<T>* items) {
  std::vector<T> kept;
  for (T& item : *items) {
    const bool known = std::any_of(kept.begin(), kept.end(), [&](const T& k) {
      return k.name == item.name;
    });
    if (!known) kept.push_back(std::move(item));
  }
  *items = std::move(kept);
}

}  // namespace

std::span<const TextTaskEntry> TextTaskList() {
  static const std::vector<TextTaskEntry> list = {
      {"hellaswag",
       {},
       1.0,
       "ends of everyday scenes (Zellers et al. 2019)",
       {"hellaswag/hellaswag_val.jsonl", "hellaswag/hellaswag_train.jsonl"},
       kMultipleChoice,
       {"acc", "acc_norm"},
       0,
       -1,
       true,
       LoadHellaSwag},
      {"lambada_openai",
       {"lambada"},
       1.0,
       "last words of passages (Paperno et al. 2016)",
       {"lambada/lambada_test.jsonl"},
       kLogLikelihood,
       {"perplexity", "acc"},
       0,
       -1,
       false,
       LoadLambada},
      {"piqa",
       {},
       1.0,
       "physical common sense (Bisk et al. 2020)",
       {"piqa/valid.jsonl", "piqa/valid-labels.lst", "piqa/train.jsonl",
        "piqa/train-labels.lst"},
       kMultipleChoice,
       {"acc", "acc_norm"},
       0,
       -1,
       true,
       LoadPiqa},
      {"winogrande",
       {},
       1.0,
       "pronouns, partial scoring (Sakaguchi et al. 2020)",
       {"winogrande/dev.jsonl", "winogrande/train_xl.jsonl"},
       kMultipleChoice,
       {"acc"},
       0,
       -1,
       true,
       LoadWinoGrande},
      {"arc_easy",
       {"arc_e"},
       1.0,
       "grade-school science (Clark et al. 2018)",
       {"arc/ARC-Easy/ARC-Easy-Test.jsonl",
        "arc/ARC-Easy/ARC-Easy-Train.jsonl"},
       kMultipleChoice,
       {"acc", "acc_norm"},
       0,
       -1,
       false,
       LoadArcEasy},
      {"arc_challenge",
       {"arc_c"},
       1.0,
       "harder grade-school science (Clark et al. 2018)",
       {"arc/ARC-Challenge/ARC-Challenge-Test.jsonl",
        "arc/ARC-Challenge/ARC-Challenge-Train.jsonl"},
       kMultipleChoice,
       {"acc", "acc_norm"},
       0,
       -1,
       false,
       LoadArcChallenge},
      {"sciq",
       {},
       1.0,
       "science exam questions (Welbl et al. 2017)",
       {"sciq/test.json", "sciq/train.json"},
       kMultipleChoice,
       {"acc", "acc_norm"},
       0,
       -1,
       false,
       LoadSciq},
      {"rattn_gemma_cpp_mmlu",
       {"gemma_cpp_mmlu"},
       1.0,
       "MMLU questions of gemma.cpp with its shots; the likeliest letter, "
       "without its steering text",
       {"gemma_cpp_mmlu/mmlu.json"},
       kMultipleChoice,
       {"acc"},
       0,
       0,
       false,
       LoadGemmaCppMmlu},
      {"triviaqa",
       {},
       3.0,
       "trivia without context (Joshi et al. 2017)",
       {"triviaqa/rc.nocontext_validation.jsonl",
        "triviaqa/rc.nocontext_train.jsonl"},
       kGenerate,
       {"exact_match"},
       0,
       -1,
       true,
       LoadTriviaQa},
      {"webqs",
       {},
       2.0,
       "WebQuestions as lm-eval: an answer is the greedy continuation",
       {"webquestions/webquestions.examples.test.json"},
       kMultipleChoice,
       {"exact_match"},
       0,
       0,
       false,
       LoadWebQuestions},
      {"rattn_webqs_generative",
       {"webqs_generative"},
       1.0,
       "WebQuestions, a definition of our own: generated, exact match",
       {"webquestions/webquestions.examples.test.json",
        "webquestions/webquestions.examples.train.json"},
       kGenerate,
       {"exact_match"},
       1,
       -1,
       false,
       LoadWebQuestionsGenerative},
      {"gsm8k",
       {},
       3.0,
       "grade-school sums (Cobbe et al. 2021)",
       {"gsm8k/test.jsonl", "gsm8k/train.jsonl"},
       kGenerate,
       {"exact_match"},
       5,
       -1,
       false,
       LoadGsm8k},
      {"gsm8k_cot",
       {},
       3.0,
       "the same after 8 fixed chains of thought",
       {"gsm8k/test.jsonl"},
       kGenerate,
       {"exact_match"},
       8,
       -1,
       false,
       LoadGsm8kCot},
  };
  return list;
}

std::vector<std::string> TextTaskNames() {
  std::vector<std::string> names;
  for (const TextTaskEntry& entry : TextTaskList()) {
    names.emplace_back(entry.name);
    names.insert(names.end(), entry.aliases.begin(), entry.aliases.end());
  }
  const std::vector<std::string> mmlu = MmluNames();
  names.insert(names.end(), mmlu.begin(), mmlu.end());
  return names;
}

TextSuite LoadTextSuite(const std::vector<std::string>& names,
                        DataFolder* data) {
  TextSuite suite;
  for (const std::string& name : names) {
    const auto list = TextTaskList();
    const auto entry =
        std::find_if(list.begin(), list.end(),
                     [&](const TextTaskEntry& e) { return HasName(e, name); });
    if (entry != list.end()) {
      suite.tasks.push_back(MakeTextTask(*entry, data));
    } else if (!AddMmlu(name, data, &suite)) {
      throw UserError(fmt::format("\"{}\": no such task{}", name,
                                  NearestHint(name, TextTaskNames())));
    }
  }
  KeepFirst(&suite.tasks);
  KeepFirst(&suite.groups);
  return suite;
}

}  // namespace rattn
