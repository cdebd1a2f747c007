#include "models/tokenizer/regex_syntax.h"

#include <algorithm>
#include <cctype>

namespace rattn {
namespace {

// PCRE2's own \s also holds U+180E. Oniguruma's \w has marks and connectors,
// and of the other numbers those of Latin-1 only.
constexpr std::string_view kSpace =
    "\\x{09}-\\x{0d}\\x{20}\\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}"
    "\\x{2029}\\x{202f}\\x{205f}\\x{3000}";
constexpr std::string_view kWord =
    "\\p{L}\\p{M}\\p{Nd}\\p{Nl}\\p{Pc}\\x{b2}\\x{b3}\\x{b9}\\x{bc}-\\x{be}"
    "\\x{24b6}-\\x{24e9}";
constexpr std::string_view kHexDigit = "0-9a-fA-F";

class Translator {
 public:
  explicit Translator(std::string_view pattern) : in_(pattern) {}

  std::string Run(std::string* problem) {
    if (in_.starts_with("(*")) problem_ = "a verb (*..)";
    while (at_ < in_.size() && problem_.empty()) {
      in_class_ ? StepInClass() : Step();
    }
    *problem = problem_;
    return out_;
  }

 private:
  char Peek(size_t ahead) const {
    return at_ + ahead < in_.size() ? in_[at_ + ahead] : '\0';
  }
  void Copy(size_t count) {
    count = std::min(count, in_.size() - at_);
    out_ += in_.substr(at_, count);
    at_ += count;
  }
  void Put(std::string_view text, size_t skip) {
    out_ += text;
    at_ += skip;
  }

  void Step() {
    switch (in_[at_]) {
      case '\\':
        return Escape();
      case '[':
        return OpenClass();
      case '{':
        return Braces();
      case '(':
        return OpenGroup();
      default:
        return Copy(1);
    }
  }

  void StepInClass() {
    if (in_[at_] == '\\') return Escape();
    if (in_[at_] == '&' && Peek(1) == '&') problem_ = "&& in a class";
    if (in_[at_] == '[') {
      const size_t end = in_.find(":]", at_);
      if (Peek(1) != ':' || end == in_.npos) {
        problem_ = "a class within a class";
        return;
      }
      return Copy(end + 2 - at_);
    }
    in_class_ = in_[at_] != ']';
    Copy(1);
  }

  void OpenClass() {
    in_class_ = true;
    Copy(1);
    if (Peek(0) == '^') Copy(1);
    if (Peek(0) == ']') Put("\\]", 1);
  }

  // A quantifier {n,m}: a + behind it means "possessive" to PCRE2 only.
  void Braces() {
    const size_t end = in_.find('}', at_);
    if (end == in_.npos) return Copy(1);
    Copy(end + 1 - at_);
    if (Peek(0) == '+') problem_ = "a quantifier {..}+";
  }

  void OpenGroup() {
    Copy(1);
    if (Peek(0) != '?') return;
    size_t end = at_ + 1;
    while (end < in_.size() &&
           (std::isalpha(static_cast<unsigned char>(in_[end])) ||
            in_[end] == '-')) {
      if (in_[end] == 'm') problem_ = "the option (?m)";
      ++end;
    }
    Copy(end - at_);
  }

  void ClassEscape(std::string_view members, bool negated) {
    if (!in_class_) {
      out_ += negated ? "[^" : "[";
      out_ += members;
      out_ += ']';
    } else if (negated) {
      problem_ = "\\S, \\W or \\H in a class";
    } else {
      out_ += members;
    }
    at_ += 2;
  }

  void Escape() {
    const char c = Peek(1);
    switch (c) {
      case 's':
      case 'S':
        return ClassEscape(kSpace, c == 'S');
      case 'w':
      case 'W':
        return ClassEscape(kWord, c == 'W');
      case 'h':
      case 'H':
        return ClassEscape(kHexDigit, c == 'H');
      case 'u':
        out_ += "\\x{";
        out_ += in_.substr(at_ + 2, 4);
        out_ += '}';
        at_ = std::min(in_.size(), at_ + 6);
        return;
      case 'p':
      case 'P':
      case 'x': {
        const size_t end = Peek(2) == '{' ? in_.find('}', at_) : in_.npos;
        return Copy(end == in_.npos ? 2 : end + 1 - at_);
      }
      default:
        return Copy(2);
    }
  }

  std::string_view in_;
  size_t at_ = 0;
  bool in_class_ = false;
  std::string out_, problem_;
};

}  // namespace

std::string ToPcreSyntax(std::string_view pattern, std::string* problem) {
  return Translator(pattern).Run(problem);
}

}  // namespace rattn
