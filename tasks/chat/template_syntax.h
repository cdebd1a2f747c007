// Chat templates as syntax trees: the part of Jinja that published ones use to
// lay out a conversation. Statements: if, elif, else, for, set, generation;
// expressions: all but lambdas, tuples and calls with `*`. Anything else is
// refused by its name and line, never guessed.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "models/json_fields.h"

namespace rattn {

struct TemplateNode {
  enum class Kind {
    // Statements.
    kBlock,  // children: statements
    kText,   // text
    kPrint,  // child: what is printed
    kIf,     // children: condition, block, condition, block, .., [block]
    kFor,    // text: the variable; children: list, block
    kSet,    // text: the variable or "namespace.member"; child: value
    // Expressions.
    kLiteral,      // literal
    kName,         // text
    kAttribute,    // text; child: object
    kIndex,        // children: object, index
    kSlice,        // children: object, begin, end, step (none: literal null)
    kCall,         // children: what is called, arguments
    kFilter,       // text; children: input, arguments
    kTest,         // text; children: input, arguments
    kUnary,        // text: - or not; child
    kBinary,       // text: the operator; children: left, right
    kList,         // children
    kDict,         // children: key, value, key, value, ..
    kConditional,  // children: value if, condition, [value else]
  };
  Kind kind = Kind::kBlock;
  std::string text = {};
  std::vector<TemplateNode> children = {};
  // Of calls and filters: the last arguments' names.
  std::vector<std::string> keywords = {};
  Json literal = nullptr;
  int line = 0;
};

// With trim_blocks and lstrip_blocks, as transformers sets them. Throws
// UserErrors that begin with "ORIGIN:LINE: ".
TemplateNode ParseTemplate(std::string_view text, const std::string& origin);

[[noreturn]] void FailInTemplate(const std::string& origin, int line,
                                 const std::string& what);

}  // namespace rattn
