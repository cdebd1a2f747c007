// The words of an expression or statement of a template.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace rattn {

struct TemplateToken {
  enum class Kind { kName, kInteger, kString, kOperator, kEnd };
  Kind kind = Kind::kEnd;
  std::string text;  // of a string: what it stands for
};

// Ends with a token of kind kEnd. Throws UserError "ORIGIN:LINE: ..".
std::vector<TemplateToken> TokenizeTemplate(std::string_view text,
                                            const std::string& origin,
                                            int line);

}  // namespace rattn
