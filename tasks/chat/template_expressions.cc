#include "tasks/chat/template_expressions.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <utility>

namespace rattn {
namespace {

constexpr int kMostDepth = 50;  // of brackets; each takes a dozen calls

}  // namespace

bool TemplateExpressions::Is(std::string_view text) const {
  const TemplateToken& next = Next();
  return next.text == text && (next.kind == TemplateToken::Kind::kName ||
                               next.kind == TemplateToken::Kind::kOperator);
}

bool TemplateExpressions::Take(std::string_view text) {
  if (!Is(text)) return false;
  ++at_;
  return true;
}

void TemplateExpressions::Expect(std::string_view text) {
  if (Take(text)) return;
  Fail(fmt::format("'{}' is missing before {}", text,
                   Next().text.empty() ? "the end of the tag"
                                       : fmt::format("'{}'", Next().text)));
}

std::string TemplateExpressions::Name() {
  if (Next().kind != TemplateToken::Kind::kName) Fail("a name is missing");
  return tokens_[at_++].text;
}

void TemplateExpressions::ExpectEnd() {
  if (Next().kind == TemplateToken::Kind::kEnd) return;
  Fail(fmt::format("'{}' is not supported here", Next().text));
}

void TemplateExpressions::Fail(const std::string& what) const {
  FailInTemplate(origin_, line_, what);
}

TemplateNode TemplateExpressions::Node(Kind kind, std::string text) const {
  TemplateNode node;
  node.kind = kind;
  node.text = std::move(text);
  node.line = line_;
  return node;
}

TemplateNode TemplateExpressions::Joined(TemplateNode left,
                                         const std::string& text, Level level) {
  TemplateNode node = Node(Kind::kBinary, text);
  node.children.push_back(std::move(left));
  node.children.push_back((this->*level)());
  return node;
}

// A long chain nests to the left, so it counts as depth when it is evaluated.
TemplateNode TemplateExpressions::Binary(
    Level level, const std::vector<std::string>& operators) {
  TemplateNode left = (this->*level)();
  for (int chain = 0;; ++chain) {
    const auto found =
        std::find_if(operators.begin(), operators.end(),
                     [&](const std::string& text) { return Take(text); });
    if (found == operators.end()) return left;
    if (chain > kMostDepth) Fail("too many operators in a row");
    left = Joined(std::move(left), *found, level);
  }
}

TemplateNode TemplateExpressions::Expression() {
  if (++depth_ > kMostDepth) Fail("brackets are nested too deep");
  TemplateNode value = Or();
  if (Take("if")) {
    TemplateNode node = Node(Kind::kConditional);
    node.children.push_back(std::move(value));
    node.children.push_back(Or());
    if (Take("else")) node.children.push_back(Expression());
    value = std::move(node);
  }
  --depth_;
  return value;
}

TemplateNode TemplateExpressions::Or() {
  return Binary(&TemplateExpressions::And, {"or"});
}
TemplateNode TemplateExpressions::And() {
  return Binary(&TemplateExpressions::Not, {"and"});
}

TemplateNode TemplateExpressions::Prefixed(const char* text, Level self,
                                           Level next) {
  if (!Take(text)) return (this->*next)();
  if (++depth_ > kMostDepth) Fail("brackets are nested too deep");
  TemplateNode node = Node(Kind::kUnary, text);
  node.children.push_back((this->*self)());
  --depth_;
  return node;
}

TemplateNode TemplateExpressions::Not() {
  return Prefixed("not", &TemplateExpressions::Not,
                  &TemplateExpressions::Compare);
}

TemplateNode TemplateExpressions::Compare() {
  TemplateNode left = Sum();
  for (const char* text : {"==", "!=", "<=", ">=", "<", ">", "in"}) {
    if (Take(text)) {
      return Joined(std::move(left), text, &TemplateExpressions::Sum);
    }
  }
  if (!Is("not")) return left;
  ++at_;
  Expect("in");
  return Joined(std::move(left), "not in", &TemplateExpressions::Sum);
}

TemplateNode TemplateExpressions::Sum() {
  return Binary(&TemplateExpressions::Concatenation, {"+", "-"});
}
TemplateNode TemplateExpressions::Concatenation() {
  return Binary(&TemplateExpressions::Product, {"~"});
}
TemplateNode TemplateExpressions::Product() {
  return Binary(&TemplateExpressions::Unary, {"*", "//", "/", "%"});
}

TemplateNode TemplateExpressions::Unary() {
  return Prefixed("-", &TemplateExpressions::Unary,
                  &TemplateExpressions::Postfix);
}

TemplateNode TemplateExpressions::Postfix() {
  TemplateNode value = Primary();
  for (int chain = 0; chain <= kMostDepth; ++chain) {
    TemplateNode node;
    if (Take(".")) {
      node = Node(Kind::kAttribute, Name());
      node.children.push_back(std::move(value));
    } else if (Take("[")) {
      node = Bracketed(std::move(value));
    } else if (Take("(")) {
      node = Node(Kind::kCall);
      node.children.push_back(std::move(value));
      Arguments(&node);
    } else if (Take("|")) {
      node = Node(Kind::kFilter, Name());
      node.children.push_back(std::move(value));
      if (Take("(")) Arguments(&node);
    } else if (Take("is")) {
      node = Test(std::move(value));
    } else {
      return value;
    }
    value = std::move(node);
  }
  Fail("too many operators in a row");
}

TemplateNode TemplateExpressions::Test(TemplateNode input) {
  const bool negated = Take("not");
  TemplateNode test = Node(Kind::kTest, Name());
  test.children.push_back(std::move(input));
  if (Take("(")) Arguments(&test);
  if (!negated) return test;
  TemplateNode node = Node(Kind::kUnary, "not");
  node.children.push_back(std::move(test));
  return node;
}

TemplateNode TemplateExpressions::Bracketed(TemplateNode object) {
  std::vector<TemplateNode> parts;
  bool is_slice = false;
  const auto part = [&] {
    const bool absent = Is(":") || Is("]");
    parts.push_back(absent ? Node(Kind::kLiteral) : Expression());
  };
  part();
  while (parts.size() < 3 && Take(":")) {
    is_slice = true;
    part();
  }
  Expect("]");
  while (is_slice && parts.size() < 3) parts.push_back(Node(Kind::kLiteral));
  TemplateNode node = Node(is_slice ? Kind::kSlice : Kind::kIndex);
  node.children.push_back(std::move(object));
  for (TemplateNode& one : parts) node.children.push_back(std::move(one));
  return node;
}

void TemplateExpressions::Arguments(TemplateNode* node) {
  while (!Take(")")) {
    const bool named = Next().kind == TemplateToken::Kind::kName &&
                       tokens_[at_ + 1].text == "=" &&
                       tokens_[at_ + 1].kind == TemplateToken::Kind::kOperator;
    if (named) {
      node->keywords.push_back(Name());
      Expect("=");
    } else if (!node->keywords.empty()) {
      Fail("an argument without a name follows one with a name");
    }
    node->children.push_back(Expression());
    if (!Is(")")) Expect(",");
  }
}

TemplateNode TemplateExpressions::List() {
  TemplateNode node = Node(Kind::kList);
  while (!Take("]")) {
    node.children.push_back(Expression());
    if (!Is("]")) Expect(",");
  }
  return node;
}

TemplateNode TemplateExpressions::Dict() {
  TemplateNode node = Node(Kind::kDict);
  while (!Take("}")) {
    node.children.push_back(Expression());
    Expect(":");
    node.children.push_back(Expression());
    if (!Is("}")) Expect(",");
  }
  return node;
}

TemplateNode TemplateExpressions::Primary() {
  if (Take("(")) {
    TemplateNode inner = Expression();
    Expect(")");
    return inner;
  }
  if (Take("[")) return List();
  if (Take("{")) return Dict();
  TemplateNode literal = Node(Kind::kLiteral);
  const TemplateToken token = Next();
  if (token.kind == TemplateToken::Kind::kString) {
    std::string text;
    // Strings beside each other are one.
    while (Next().kind == TemplateToken::Kind::kString) {
      text += tokens_[at_++].text;
    }
    literal.literal = text;
    return literal;
  }
  if (token.kind == TemplateToken::Kind::kInteger) {
    int64_t number = 0;
    const char* end = token.text.data() + token.text.size();
    if (std::from_chars(token.text.data(), end, number).ec != std::errc()) {
      Fail("the number " + token.text + " is too large");
    }
    ++at_;
    literal.literal = number;
    return literal;
  }
  if (token.kind != TemplateToken::Kind::kName) {
    Fail(token.text.empty()
             ? "an expression is missing"
             : fmt::format("'{}' is not supported here", token.text));
  }
  ++at_;
  for (const auto& [name, value] : {std::pair<const char*, Json>{"true", true},
                                    {"True", true},
                                    {"false", false},
                                    {"False", false},
                                    {"none", nullptr},
                                    {"None", nullptr}}) {
    if (token.text != name) continue;
    literal.literal = value;
    return literal;
  }
  return Node(Kind::kName, token.text);
}

}  // namespace rattn
