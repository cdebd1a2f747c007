#include "tasks/chat/template_tokens.h"

#include <fmt/format.h>

#include <array>

#include "tasks/chat/template_syntax.h"

namespace rattn {
namespace {

using Kind = TemplateToken::Kind;

// Longer ones first.
constexpr std::array kOperators = {"==", "!=", "<=", ">=", "//", "<", ">", "+",
                                   "-",  "*",  "/",  "%",  "~",  "|", ".", ",",
                                   ":",  "=",  "(",  ")",  "[",  "]", "{", "}"};

bool IsDigit(char c) { return c >= '0' && c <= '9'; }
bool IsNamePart(char c) {
  return IsDigit(c) || c == '_' || (c >= 'a' && c <= 'z') ||
         (c >= 'A' && c <= 'Z');
}

class Tokenizing {
 public:
  Tokenizing(std::string_view text, const std::string& origin, int line)
      : text_(text), origin_(origin), line_(line) {}

  std::vector<TemplateToken> Run() {
    while (at_ < text_.size()) {
      const char c = text_[at_];
      if (c == '\n') ++line_;
      if (c == ' ' || (c >= '\t' && c <= '\r')) {
        ++at_;
      } else if (c == '\'' || c == '"') {
        Add(Kind::kString, String());
      } else if (IsDigit(c)) {
        Add(Kind::kInteger, While(IsDigit));
      } else if (IsNamePart(c)) {
        Add(Kind::kName, While(IsNamePart));
      } else {
        Add(Kind::kOperator, std::string(Operator()));
      }
    }
    Add(Kind::kEnd, "");
    return std::move(tokens_);
  }

 private:
  void Add(Kind kind, std::string text) {
    tokens_.push_back({kind, std::move(text)});
  }

  std::string While(bool (*holds)(char)) {
    const size_t begin = at_;
    while (at_ < text_.size() && holds(text_[at_])) ++at_;
    return std::string(text_.substr(begin, at_ - begin));
  }

  std::string_view Operator() {
    for (const std::string_view name : kOperators) {
      if (!text_.substr(at_).starts_with(name)) continue;
      at_ += name.size();
      return name;
    }
    FailInTemplate(
        origin_, line_,
        fmt::format("unexpected character {}",
                    Json(std::string(1, text_[at_]))
                        .dump(-1, ' ', true, Json::error_handler_t::replace)));
  }

  char Escaped(char c) const {
    constexpr std::string_view kNames = "nrtvfab0\\'\"";
    constexpr std::string_view kValues("\n\r\t\v\f\a\b\0\\'\"", 11);
    const size_t at = kNames.find(c);
    if (at == std::string_view::npos) {
      FailInTemplate(origin_, line_,
                     "escapes of strings are \\n \\r \\t \\v \\f \\a \\b \\0 "
                     "\\\\ \\' \\\" only");
    }
    return kValues[at];
  }

  std::string String() {
    const char quote = text_[at_++];
    std::string value;
    while (at_ < text_.size() && text_[at_] != quote) {
      char c = text_[at_++];
      if (c == '\n') ++line_;
      if (c == '\\' && at_ < text_.size()) c = Escaped(text_[at_++]);
      value += c;
    }
    if (at_ == text_.size()) {
      FailInTemplate(origin_, line_, "a string is not closed");
    }
    ++at_;
    return value;
  }

  std::string_view text_;
  const std::string& origin_;
  int line_;
  size_t at_ = 0;
  std::vector<TemplateToken> tokens_;
};

}  // namespace

std::vector<TemplateToken> TokenizeTemplate(std::string_view text,
                                            const std::string& origin,
                                            int line) {
  return Tokenizing(text, origin, line).Run();
}

}  // namespace rattn
