// Expressions of templates, with Jinja's precedence.
#pragma once

#include <string>
#include <vector>

#include "tasks/chat/template_syntax.h"
#include "tasks/chat/template_tokens.h"

namespace rattn {

// Reads the tokens of one tag.
class TemplateExpressions {
 public:
  TemplateExpressions(std::vector<TemplateToken> tokens,
                      const std::string& origin, int line)
      : tokens_(std::move(tokens)), origin_(origin), line_(line) {}

  TemplateNode Expression();

  // For statements: the next token is taken if it is this name or operator.
  bool Take(std::string_view text);
  void Expect(std::string_view text);
  std::string Name();
  void ExpectEnd();
  [[noreturn]] void Fail(const std::string& what) const;

 private:
  using Kind = TemplateNode::Kind;
  using Level = TemplateNode (TemplateExpressions::*)();

  const TemplateToken& Next() const { return tokens_[at_]; }
  bool Is(std::string_view text) const;
  TemplateNode Node(Kind kind, std::string text = "") const;
  TemplateNode Joined(TemplateNode left, const std::string& text, Level level);
  // A prefix operator of the level `self`, or what the level `next` reads.
  TemplateNode Prefixed(const char* text, Level self, Level next);
  TemplateNode Binary(Level level, const std::vector<std::string>& operators);

  TemplateNode Or();
  TemplateNode And();
  TemplateNode Not();
  TemplateNode Compare();
  TemplateNode Sum();
  TemplateNode Concatenation();
  TemplateNode Product();
  TemplateNode Unary();
  TemplateNode Postfix();
  TemplateNode Primary();
  TemplateNode Bracketed(TemplateNode object);
  TemplateNode Test(TemplateNode input);
  void Arguments(TemplateNode* node);
  TemplateNode List();
  TemplateNode Dict();

  std::vector<TemplateToken> tokens_;
  const std::string& origin_;
  int line_;
  size_t at_ = 0;
  int depth_ = 0;
};

}  // namespace rattn
