// MMLU (Hendrycks et al. 2021) from its official CSV files or JSONL, under
// three presets that differ in the header of the prompt, the default number of
// shots, the category of `anatomy` and the average that is quoted:
//
//   preset       names              header        shots  anatomy  quoted
//   average lm-eval      mmlu, mmlu_X       one space     0      STEM     by
//   question original     mmlu_original..    two spaces    5      other    by
//   question leaderboard  mmlu_leaderboard.. one space     5      STEM     by
//   subject
//
// All of them report both averages. `original` drops shots from the end of the
// list while a prompt has more than 2,048 tokens. (hendrycks/test also gives
// letters outside the 100 likeliest tokens a log-probability of -100; not done
// here.) `leaderboard` is that of the first Open LLM Leaderboard since its
// prompts were corrected in 2023.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tasks/files/data_folder.h"
#include "tasks/files/text_task.h"

namespace rattn {

// Names of all groups and subjects under all presets.
std::vector<std::string> MmluNames();

// Adds the group or subject `name` to `suite`; false if MMLU has none such.
//
// Files, either of: mmlu/data/SPLIT/SUBJECT_SPLIT.csv (six cells: question,
// four choices, letter) or mmlu/SPLIT.jsonl (objects with question, subject,
// choices, answer 0..3), SPLIT = dev and test.
bool AddMmlu(const std::string& name, DataFolder* data, TextSuite* suite);

}  // namespace rattn
