// What a Split, a Replace or a character class finds in a text, and what the
// five behaviours of Hugging Face make of it.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "models/tokenizer/component.h"
#include "models/tokenizer/regex.h"
#include "models/tokenizer/text_limit.h"

namespace rattn {

// Finds disjoint, non-empty ranges from left to right in valid UTF-8.
using Pattern =
    std::function<void(std::string_view text, std::vector<ByteRange>* matches)>;

// From {"String": ..} or {"Regex": ..} under "pattern".
Pattern PatternOf(const Component& component);
Pattern LiteralPattern(const std::string& text);
// Single characters that `holds` is true of.
Pattern CharacterPattern(bool (*holds)(char32_t));

// Every match replaced by `with`. Throws UserError beyond the limit.
std::string ReplaceAll(const Pattern& pattern, std::string_view text,
                       std::string_view with, const TextLimit& limit);

enum class SplitBehavior {
  kRemoved,
  kIsolated,
  kMergedWithPrevious,
  kMergedWithNext,
  kContiguous,
};
// Throws UserError that names an unknown one.
SplitBehavior BehaviorOf(const Component& component,
                         const std::string& fallback);

// The pieces of `text` (ranges, none of them empty) cut at the pattern; with
// `invert` at everything that it does not match.
void SplitText(const Pattern& pattern, SplitBehavior behavior, bool invert,
               std::string_view text, std::vector<ByteRange>* pieces);

}  // namespace rattn
