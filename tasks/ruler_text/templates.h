// Prompt templates of RULER, read at run time: the wordings of others are data
// of the user, not of this program.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tasks/ruler_text/text_tasks.h"

namespace rattn {

struct RulerTemplate {
  std::string text;    // with {context}, {query}, {type_needle_v} slots
  std::string prefix;  // how the answer begins, with slots
  int64_t tokens_to_generate = 0;
};

struct RulerTemplates {
  RulerTemplate niah, vt, cwe, fwe, qa;
  std::string noise_unit;
  std::string needle;  // with {type_needle_v}, {key}, {value}
  std::string sha256;  // of the file

  const RulerTemplate& Of(RulerFamily family) const;
};

// {"tasks": {"niah": {"tokens_to_generate", "template", "answer_prefix"},
// "variable_tracking", "common_words_extraction", "freq_words_extraction",
// "qa"}, "noise_unit", "needle"}. Throws UserErrors that name file and key.
RulerTemplates LoadRulerTemplates(const std::string& path);

using TemplateValues =
    std::vector<std::pair<std::string_view, std::string_view>>;
// str.format() with named slots, "{{" and "}}". Throws UserError for a slot
// without a value.
std::string FormatTemplate(std::string_view text, const TemplateValues& values);

// The wording for one answer that RULER makes of the one for several: four
// replacements over everything, chat wrappers included.
std::string Singular(std::string_view text);

}  // namespace rattn
