#include "models/tokenizer/pre_tokenizer.h"

#include <fmt/format.h>

#include <array>
#include <utility>

#include "models/tokenizer/byte_level.h"
#include "models/tokenizer/pattern.h"
#include "models/tokenizer/unicode.h"

namespace rattn {
namespace {

std::string_view TextOf(const Words& words, const ByteRange& range) {
  return std::string_view(words.text)
      .substr(range.begin, range.end - range.begin);
}

// Cuts every word where `pattern` says.
PreTokenizer Splitter(Pattern pattern, SplitBehavior behavior,
                      bool invert = false) {
  return [pattern = std::move(pattern), behavior, invert](Words* words) {
    std::vector<ByteRange> cut;
    for (const ByteRange& range : words->ranges) {
      const size_t first = cut.size();
      SplitText(pattern, behavior, invert, TextOf(*words, range), &cut);
      for (size_t i = first; i < cut.size(); ++i) {
        cut[i].begin += range.begin;
        cut[i].end += range.begin;
      }
    }
    words->ranges = std::move(cut);
  };
}

// Rewrites every word; `rewrite` gets it and whether it begins the input.
template <typename Rewrite>
void RewriteWords(Words* words, Rewrite rewrite) {
  std::string text;
  bool first = words->at_start;
  for (ByteRange& range : words->ranges) {
    const size_t begin = text.size();
    text += rewrite(TextOf(*words, range), first);
    words->limit.Check(text.size());
    range = {begin, text.size()};
    first = false;
  }
  words->text = std::move(text);
}

PreTokenizer MakeSequence(const Component& component) {
  std::vector<PreTokenizer> steps;
  for (const Component& child : component.List("pretokenizers")) {
    steps.push_back(MakePreTokenizer(child));
  }
  return [steps](Words* words) {
    for (const PreTokenizer& step : steps) step(words);
  };
}

constexpr const char* kGpt2Pattern =
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+"
    "|\\s+(?!\\S)|\\s+";

PreTokenizer MakeByteLevel(const Component& component) {
  const Regex regex(kGpt2Pattern, component.file());
  const PreTokenizer split = Splitter(
      [regex](std::string_view text, std::vector<ByteRange>* matches) {
        regex.FindAll(text, matches);
      },
      SplitBehavior::kIsolated);
  const bool add_space = component.Bool("add_prefix_space", true);
  const bool use_regex = component.Bool("use_regex", true);
  return [=](Words* words) {
    if (add_space) {
      RewriteWords(words, [](std::string_view word, bool) {
        std::string out(word.starts_with(' ') ? 0 : 1, ' ');
        return out.append(word);
      });
    }
    if (use_regex) split(words);
    RewriteWords(words, [](std::string_view word, bool) {
      return ToByteCharacters(word);
    });
  };
}

enum class Prepend { kAlways, kFirst, kNever };

Prepend PrependOf(const Component& component) {
  if (!component.Has("prepend_scheme")) {
    return component.Bool("add_prefix_space", true) ? Prepend::kAlways
                                                    : Prepend::kNever;
  }
  const std::string scheme = component.String("prepend_scheme");
  if (scheme == "always") return Prepend::kAlways;
  if (scheme == "first") return Prepend::kFirst;
  if (scheme == "never") return Prepend::kNever;
  component.Fail(
      fmt::format("has the unknown prepend_scheme {}", Json(scheme).dump()));
}

PreTokenizer MakeMetaspace(const Component& component) {
  const std::string mark = component.String("replacement");
  const Prepend prepend = PrependOf(component);
  const PreTokenizer split =
      Splitter(LiteralPattern(mark), SplitBehavior::kMergedWithNext);
  return [=, splits = component.Bool("split", true)](Words* words) {
    RewriteWords(words, [&](std::string_view word, bool first) {
      const std::string marked =
          ReplaceAll(LiteralPattern(" "), word, mark, words->limit);
      const bool wanted =
          prepend == Prepend::kAlways || (prepend == Prepend::kFirst && first);
      return wanted && !marked.starts_with(mark) ? mark + marked : marked;
    });
    if (splits) split(words);
  };
}

PreTokenizer MakeSplit(const Component& component) {
  return Splitter(PatternOf(component), BehaviorOf(component, ""),
                  component.Bool("invert", false));
}

PreTokenizer MakeDigits(const Component& component) {
  return Splitter(CharacterPattern(IsNumeric),
                  component.Bool("individual_digits", false)
                      ? SplitBehavior::kIsolated
                      : SplitBehavior::kContiguous);
}

PreTokenizer MakePunctuation(const Component& component) {
  return Splitter(CharacterPattern(IsPunctuation),
                  BehaviorOf(component, "Isolated"));
}

PreTokenizer MakeWhitespaceSplit(const Component&) {
  return Splitter(CharacterPattern(IsWhiteSpace), SplitBehavior::kRemoved);
}

// \w+|[^\w\s]+
PreTokenizer MakeWhitespace(const Component& component) {
  const PreTokenizer spaces = MakeWhitespaceSplit(component);
  const PreTokenizer words_apart =
      Splitter(CharacterPattern(IsWordCharacter), SplitBehavior::kContiguous);
  return [=](Words* words) {
    spaces(words);
    words_apart(words);
  };
}

PreTokenizer MakeDelimiter(const Component& component) {
  return Splitter(LiteralPattern(component.String("delimiter")),
                  SplitBehavior::kRemoved);
}

struct Maker {
  std::string_view type;
  PreTokenizer (*make)(const Component&);
};
constexpr std::array kMakers = {
    Maker{"Sequence", MakeSequence},
    Maker{"ByteLevel", MakeByteLevel},
    Maker{"Metaspace", MakeMetaspace},
    Maker{"Split", MakeSplit},
    Maker{"Digits", MakeDigits},
    Maker{"Punctuation", MakePunctuation},
    Maker{"Whitespace", MakeWhitespace},
    Maker{"WhitespaceSplit", MakeWhitespaceSplit},
    Maker{"CharDelimiterSplit", MakeDelimiter},
};

}  // namespace

PreTokenizer MakePreTokenizer(const Component& component) {
  return MakeFrom(kMakers, component);
}

}  // namespace rattn
