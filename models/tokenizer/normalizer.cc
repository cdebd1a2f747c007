#include "models/tokenizer/normalizer.h"

#include <array>
#include <utility>
#include <vector>

#include "models/tokenizer/byte_level.h"
#include "models/tokenizer/pattern.h"
#include "models/tokenizer/unicode.h"

namespace rattn {
namespace {

template <NormalForm form>
Normalizer MakeForm(const Component&) {
  return [](std::string* text, const TextLimit&) {
    *text = Normalized(form, *text);
  };
}

Normalizer MakeSequence(const Component& component) {
  std::vector<Normalizer> steps;
  for (const Component& child : component.List("normalizers")) {
    steps.push_back(MakeNormalizer(child));
  }
  return [steps](std::string* text, const TextLimit& limit) {
    for (const Normalizer& step : steps) {
      step(text, limit);
      limit.Check(text->size());
    }
  };
}

Normalizer MakePrepend(const Component& component) {
  return [prefix = component.String("prepend")](std::string* text,
                                                const TextLimit&) {
    if (!text->empty()) text->insert(0, prefix);
  };
}

Normalizer MakeReplace(const Component& component) {
  return
      [pattern = PatternOf(component), content = component.String("content")](
          std::string* text, const TextLimit& limit) {
        *text = ReplaceAll(pattern, *text, content, limit);
      };
}

Normalizer MakeLowercase(const Component&) {
  return [](std::string* text, const TextLimit&) {
    std::string lower;
    for (size_t at = 0; at < text->size();) {
      AppendLower(NextCodePoint(*text, &at), &lower);
    }
    *text = std::move(lower);
  };
}

Normalizer MakeStripAccents(const Component&) {
  return [](std::string* text, const TextLimit& limit) {
    *text = ReplaceAll(CharacterPattern(IsMark), *text, "", limit);
  };
}

Normalizer MakeStrip(const Component& component) {
  return [left = component.Bool("strip_left", true),
          right = component.Bool("strip_right", true)](std::string* text,
                                                       const TextLimit&) {
    size_t begin = text->size(), end = 0;  // of all that is not white space
    for (size_t at = 0; at < text->size();) {
      const size_t start = at;
      if (IsWhiteSpace(NextCodePoint(*text, &at))) continue;
      begin = std::min(begin, start);
      end = at;
    }
    if (right) text->resize(std::max(end, left ? begin : 0));
    if (left) text->erase(0, begin);
  };
}

Normalizer MakeByteLevel(const Component&) {
  return [](std::string* text, const TextLimit&) {
    *text = ToByteCharacters(*text);
  };
}

struct Maker {
  std::string_view type;
  Normalizer (*make)(const Component&);
};
constexpr std::array kMakers = {
    Maker{"Sequence", MakeSequence},
    Maker{"NFC", MakeForm<NormalForm::kNfc>},
    Maker{"NFD", MakeForm<NormalForm::kNfd>},
    Maker{"NFKC", MakeForm<NormalForm::kNfkc>},
    Maker{"NFKD", MakeForm<NormalForm::kNfkd>},
    Maker{"Prepend", MakePrepend},
    Maker{"Replace", MakeReplace},
    Maker{"Lowercase", MakeLowercase},
    Maker{"Strip", MakeStrip},
    Maker{"StripAccents", MakeStripAccents},
    Maker{"ByteLevel", MakeByteLevel},
};

}  // namespace

Normalizer MakeNormalizer(const Component& component) {
  return MakeFrom(kMakers, component);
}

}  // namespace rattn
