#include "tasks/chat/template_syntax.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "models/error.h"
#include "tasks/chat/template_expressions.h"
#include "tasks/chat/template_segments.h"

namespace rattn {
namespace {

using Kind = TemplateNode::Kind;
constexpr int kMostDepth = 50;  // of statements

TemplateNode MakeNode(Kind kind, int line, std::string text = "") {
  TemplateNode node;
  node.kind = kind;
  node.line = line;
  node.text = std::move(text);
  return node;
}

class Parser {
 public:
  Parser(std::string_view text, const std::string& origin)
      : origin_(origin), segments_(SplitTemplate(text, origin)) {}

  TemplateNode Run() {
    TemplateNode block = Block();
    if (at_ < segments_.size()) {
      Fail(fmt::format("'{}' has no beginning", word_));
    }
    return block;
  }

 private:
  [[noreturn]] void Fail(const std::string& what) const {
    const size_t last = std::min(at_, segments_.size() - 1);
    FailInTemplate(origin_, segments_.empty() ? 1 : segments_[last].line, what);
  }

  TemplateExpressions Tokens(const TemplateSegment& segment) const {
    return {TokenizeTemplate(segment.text, origin_, segment.line), origin_,
            segment.line};
  }

  // Until a statement that belongs to the one around it: its first word is then
  // in `word_`.
  TemplateNode Block() {
    if (++depth_ > kMostDepth) Fail("statements are nested too deep");
    TemplateNode block =
        MakeNode(Kind::kBlock, segments_.empty() ? 1 : segments_[0].line);
    for (; at_ < segments_.size(); ++at_) {
      const TemplateSegment& segment = segments_[at_];
      if (segment.kind == TemplateSegment::Kind::kText) {
        block.children.push_back(
            MakeNode(Kind::kText, segment.line, segment.text));
      } else if (segment.kind == TemplateSegment::Kind::kPrint) {
        auto tokens = Tokens(segment);
        block.children.push_back(MakeNode(Kind::kPrint, segment.line));
        block.children.back().children.push_back(tokens.Expression());
        tokens.ExpectEnd();
      } else if (!Statement(&block)) {
        break;
      }
    }
    --depth_;
    return block;
  }

  // False at a word that ends a block; then at_ stays at it. Otherwise at_ is
  // at the statement's last tag.
  bool Statement(TemplateNode* block) {
    const int line = segments_[at_].line;
    auto tokens = Tokens(segments_[at_]);
    word_ = tokens.Name();
    if (word_ == "if") {
      block->children.push_back(If(&tokens, line));
    } else if (word_ == "for") {
      block->children.push_back(For(&tokens, line));
    } else if (word_ == "set") {
      block->children.push_back(Set(&tokens, line));
    } else if (word_ == "generation") {
      // Marks what a model is trained on; it changes no text.
      tokens.ExpectEnd();
      block->children.push_back(Inner("endgeneration"));
    } else if (word_ == "elif" || word_ == "else" || word_.starts_with("end")) {
      return false;
    } else {
      Fail(fmt::format("the statement '{}' is not supported", word_));
    }
    return true;
  }

  // The block behind the tag at at_, up to the tag `end`.
  TemplateNode Inner(const char* end) {
    ++at_;
    TemplateNode block = Block();
    if (at_ == segments_.size() || word_ != end) {
      Fail(fmt::format("'{}' is missing", end));
    }
    return block;
  }

  TemplateNode If(TemplateExpressions* tokens, int line) {
    TemplateNode node = MakeNode(Kind::kIf, line);
    node.children.push_back(tokens->Expression());
    tokens->ExpectEnd();
    for (bool more = true; more;) {
      ++at_;
      node.children.push_back(Block());
      if (at_ == segments_.size()) Fail("'endif' is missing");
      if (word_ == "elif") {
        auto next = Tokens(segments_[at_]);
        next.Name();
        node.children.push_back(next.Expression());
        next.ExpectEnd();
      } else {
        more = false;
      }
    }
    if (word_ == "else") node.children.push_back(Inner("endif"));
    if (word_ != "endif") Fail("'endif' is missing");
    return node;
  }

  TemplateNode For(TemplateExpressions* tokens, int line) {
    TemplateNode node = MakeNode(Kind::kFor, line, tokens->Name());
    tokens->Expect("in");
    node.children.push_back(tokens->Expression());
    tokens->ExpectEnd();
    if (node.children[0].kind == Kind::kConditional) {
      Fail("'for .. if' is not supported");
    }
    node.children.push_back(Inner("endfor"));
    return node;
  }

  TemplateNode Set(TemplateExpressions* tokens, int line) {
    TemplateNode node = MakeNode(Kind::kSet, line, tokens->Name());
    if (tokens->Take(".")) {
      node.text = fmt::format("{}.{}", node.text, tokens->Name());
    }
    tokens->Expect("=");
    node.children.push_back(tokens->Expression());
    tokens->ExpectEnd();
    return node;
  }

  const std::string& origin_;
  std::vector<TemplateSegment> segments_;
  size_t at_ = 0;
  int depth_ = 0;
  std::string word_;
};

}  // namespace

TemplateNode ParseTemplate(std::string_view text, const std::string& origin) {
  return Parser(text, origin).Run();
}

void FailInTemplate(const std::string& origin, int line,
                    const std::string& what) {
  throw UserError(fmt::format("{}:{}: {}", origin, line, what));
}

}  // namespace rattn
