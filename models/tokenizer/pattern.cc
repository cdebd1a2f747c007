#include "models/tokenizer/pattern.h"

#include <fmt/format.h>

#include <array>

#include "models/tokenizer/unicode.h"

namespace rattn {
namespace {

struct Segment {
  ByteRange range;
  bool is_match = false;
};

struct NamedBehavior {
  std::string_view name;
  SplitBehavior behavior;
};
constexpr std::array kBehaviors = {
    NamedBehavior{"Removed", SplitBehavior::kRemoved},
    NamedBehavior{"Isolated", SplitBehavior::kIsolated},
    NamedBehavior{"MergedWithPrevious", SplitBehavior::kMergedWithPrevious},
    NamedBehavior{"MergedWithNext", SplitBehavior::kMergedWithNext},
    NamedBehavior{"Contiguous", SplitBehavior::kContiguous},
};

// Matches and what lies between them.
std::vector<Segment> SegmentsOf(const Pattern& pattern, bool invert,
                                std::string_view text) {
  thread_local std::vector<ByteRange> matches;
  pattern(text, &matches);
  std::vector<Segment> segments;
  segments.reserve(2 * matches.size() + 1);
  size_t end = 0;
  for (const ByteRange& match : matches) {
    if (match.begin > end) segments.push_back({{end, match.begin}, invert});
    segments.push_back({match, !invert});
    end = match.end;
  }
  if (end < text.size()) segments.push_back({{end, text.size()}, invert});
  return segments;
}

// Whether the segment after `left` belongs to the same piece.
bool Joins(SplitBehavior behavior, const Segment& left, const Segment& right) {
  switch (behavior) {
    case SplitBehavior::kMergedWithPrevious:
      return right.is_match && !left.is_match;
    case SplitBehavior::kMergedWithNext:
      return left.is_match && !right.is_match;
    case SplitBehavior::kContiguous:
      return left.is_match == right.is_match;
    default:
      return false;
  }
}

}  // namespace

Pattern LiteralPattern(const std::string& needle) {
  return [needle](std::string_view text, std::vector<ByteRange>* matches) {
    matches->clear();
    if (needle.empty()) return;
    for (size_t at = 0; (at = text.find(needle, at)) != text.npos;
         at += needle.size()) {
      matches->push_back({at, at + needle.size()});
    }
  };
}

Pattern CharacterPattern(bool (*holds)(char32_t)) {
  return [holds](std::string_view text, std::vector<ByteRange>* matches) {
    matches->clear();
    for (size_t at = 0; at < text.size();) {
      const size_t begin = at;
      if (holds(NextCodePoint(text, &at))) matches->push_back({begin, at});
    }
  };
}

Pattern PatternOf(const Component& component) {
  const Component pattern = component.Child("pattern");
  if (pattern.Has("String")) return LiteralPattern(pattern.String("String"));
  if (!pattern.Has("Regex")) pattern.Fail("needs \"String\" or \"Regex\"");
  const Regex regex(pattern.String("Regex"), component.file());
  return [regex](std::string_view text, std::vector<ByteRange>* matches) {
    regex.FindAll(text, matches);
  };
}

std::string ReplaceAll(const Pattern& pattern, std::string_view text,
                       std::string_view with, const TextLimit& limit) {
  std::vector<ByteRange> matches;
  pattern(text, &matches);
  if (!with.empty()) limit.Check(text.size() + matches.size() * with.size());
  std::string out;
  size_t end = 0;
  for (const ByteRange& match : matches) {
    out += text.substr(end, match.begin - end);
    out += with;
    end = match.end;
  }
  out += text.substr(end);
  return out;
}

SplitBehavior BehaviorOf(const Component& component,
                         const std::string& fallback) {
  const std::string name = component.String("behavior", fallback);
  for (const NamedBehavior& known : kBehaviors) {
    if (known.name == name) return known.behavior;
  }
  component.Fail(fmt::format("has the unknown behavior {}", Json(name).dump()));
}

void SplitText(const Pattern& pattern, SplitBehavior behavior, bool invert,
               std::string_view text, std::vector<ByteRange>* pieces) {
  const std::vector<Segment> segments = SegmentsOf(pattern, invert, text);
  for (size_t i = 0; i < segments.size(); ++i) {
    if (behavior == SplitBehavior::kRemoved && segments[i].is_match) continue;
    if (i > 0 && Joins(behavior, segments[i - 1], segments[i])) {
      pieces->back().end = segments[i].range.end;
    } else {
      pieces->push_back(segments[i].range);
    }
  }
}

}  // namespace rattn
