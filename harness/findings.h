// What a run shows, in words made by rules from its points: no rule knows a
// variant by name, only what the catalog says of its branches.
#pragma once

#include <string>
#include <vector>

#include "harness/report_plots.h"

namespace rattn {

struct Finding {
  std::string rule;   // which question
  std::string group;  // task and facet, or phase
  // kYes: the effect that the question asks for is there; kNo: it is not;
  // kFact: a figure without a yes or no.
  enum class Answer { kYes, kNo, kFact } answer = Answer::kFact;
  std::string text;
};

std::vector<Finding> FindFindings(const ReportInput& input);

Json ToJson(const Finding& finding);

}  // namespace rattn
