// A template cut into text, {{ expressions }} and {% statements %}, with
// Jinja's rules for white space around them.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace rattn {

struct TemplateSegment {
  enum class Kind { kText, kPrint, kStatement };
  Kind kind = Kind::kText;
  std::string text;  // without the braces
  int line = 1;
};

// trim_blocks and lstrip_blocks are on, comments and one line break at the end
// of the template are left out. Throws UserError "ORIGIN:LINE: ..".
std::vector<TemplateSegment> SplitTemplate(std::string_view text,
                                           const std::string& origin);

}  // namespace rattn
