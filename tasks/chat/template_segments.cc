#include "tasks/chat/template_segments.h"

#include <utility>

#include "tasks/chat/template_syntax.h"

namespace rattn {
namespace {

bool IsSpace(char c) {
  return std::string_view(" \t\n\v\f\r").find(c) != std::string_view::npos;
}

std::string WithUnixLines(std::string_view text) {
  std::string lines;
  lines.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\r') {
      lines += text[i];
    } else if (i + 1 == text.size() || text[i + 1] != '\n') {
      lines += '\n';
    }
  }
  if (lines.ends_with('\n')) lines.pop_back();
  return lines;
}

class Splitter {
 public:
  Splitter(std::string_view text, const std::string& origin)
      : text_(WithUnixLines(text)), origin_(origin) {}

  std::vector<TemplateSegment> Run() {
    while (at_ < text_.size()) {
      const size_t open = NextTag();
      if (open == text_.size()) {
        AddText(open);
        break;
      }
      Tag(open);
    }
    return std::move(segments_);
  }

 private:
  size_t NextTag() const {
    for (size_t i = at_; i + 1 < text_.size(); ++i) {
      if (text_[i] != '{') continue;
      const char next = text_[i + 1];
      if (next == '{' || next == '%' || next == '#') return i;
    }
    return text_.size();
  }

  // Places come in ascending order.
  int LineOf(size_t place) {
    for (; counted_ < place; ++counted_) line_ += text_[counted_] == '\n';
    return line_;
  }

  void AddText(size_t end) {
    if (end <= at_) return;
    segments_.push_back({TemplateSegment::Kind::kText,
                         text_.substr(at_, end - at_), LineOf(at_)});
  }

  // Where the text before a tag ends: "{%-" takes all white space, a statement
  // or comment that begins its line what stands before it there.
  size_t TextEnd(size_t open, bool is_print, char sign) const {
    size_t end = open;
    if (sign == '-') {
      while (end > at_ && IsSpace(text_[end - 1])) --end;
      return end;
    }
    if (is_print || sign == '+') return open;
    while (end > at_ && text_[end - 1] != '\n' && IsSpace(text_[end - 1])) {
      --end;
    }
    const bool line_begins = end > at_ ? text_[end - 1] == '\n' : at_line_;
    return line_begins ? end : open;
  }

  // Of the closing braces, strings skipped.
  size_t FindClose(size_t begin, char inner) {
    char quote = 0;
    for (size_t i = begin; i + 1 < text_.size(); ++i) {
      const char c = text_[i];
      if (quote != 0) {
        if (c == '\\') {
          ++i;
        } else if (c == quote) {
          quote = 0;
        }
      } else if (inner != '#' && (c == '\'' || c == '"')) {
        quote = c;
      } else if (c == inner && text_[i + 1] == '}') {
        return i;
      }
    }
    FailInTemplate(origin_, LineOf(begin), "a tag is not closed");
  }

  void Tag(size_t open) {
    const char kind = text_[open + 1];
    const bool is_print = kind == '{';
    size_t begin = open + 2;
    const char sign = begin < text_.size() ? text_[begin] : ' ';
    AddText(TextEnd(open, is_print, sign));
    if (sign == '-' || sign == '+') ++begin;
    const size_t close = FindClose(begin, is_print ? '}' : kind);
    size_t end = close;
    const char last = close > begin ? text_[close - 1] : ' ';
    if (last == '-' || (last == '+' && !is_print)) --end;
    if (kind != '#') {
      segments_.push_back({is_print ? TemplateSegment::Kind::kPrint
                                    : TemplateSegment::Kind::kStatement,
                           text_.substr(begin, end - begin), LineOf(begin)});
    }
    at_ = close + 2;
    SkipAfter(is_print, last);
  }

  void SkipAfter(bool is_print, char sign) {
    const size_t start = at_;
    if (sign == '-') {
      while (at_ < text_.size() && IsSpace(text_[at_])) ++at_;
    } else if (!is_print && sign != '+' && at_ < text_.size() &&
               text_[at_] == '\n') {
      ++at_;
    }
    at_line_ = at_ > start && text_[at_ - 1] == '\n';
  }

  std::string text_;
  const std::string& origin_;
  size_t at_ = 0;
  size_t counted_ = 0;
  int line_ = 1;
  bool at_line_ = true;  // whether at_ is where a line begins
  std::vector<TemplateSegment> segments_;
};

}  // namespace

std::vector<TemplateSegment> SplitTemplate(std::string_view text,
                                           const std::string& origin) {
  return Splitter(text, origin).Run();
}

}  // namespace rattn
