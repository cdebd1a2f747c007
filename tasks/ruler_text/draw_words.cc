#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <set>

#include "tasks/ruler_text/draws.h"

namespace rattn {
namespace {

constexpr size_t kCommonWords = 10;
constexpr int64_t kShortLength = 4096;
constexpr size_t kCodedLetters = 6;

struct Repeats {
  int64_t common = 0;
  int64_t others = 0;
};

class CweDrawer : public PromptDrawer {
 public:
  CweDrawer(const RulerTemplate& text, int64_t length, RulerSources* sources,
            RulerStreams* streams)
      : text_(text),
        sources_(sources),
        streams_(streams),
        words_(sources->words()),
        short_(length < kShortLength) {
    PythonRandom(streams->seed).Shuffle(&words_);
  }

  std::optional<RulerPrompt> Draw(int64_t units, int64_t) override {
    const auto example = short_ ? List(20, {3, 1}) : List(40, {10, 3});
    const auto list = List(units, short_ ? Repeats{6, 1} : Repeats{30, 3});
    if (!example || !list) return std::nullopt;
    RulerPrompt prompt;
    prompt.body = FormatTemplate(text_.text + text_.prefix,
                                 {{"context", example->context}}) +
                  ' ' + NumberedList(example->common) + '\n' +
                  FormatTemplate(text_.text, {{"context", list->context}});
    prompt.prefix = FormatTemplate(text_.prefix, {});
    prompt.outputs = list->common;
    return prompt;
  }

 private:
  struct Drawn {
    std::string context;
    std::vector<std::string> common;
  };

  std::optional<Drawn> List(int64_t count, const Repeats& repeats) {
    const std::vector<std::string>& pool =
        count <= static_cast<int64_t>(words_.size()) ? words_
                                                     : sources_->english();
    if (count > static_cast<int64_t>(pool.size())) return std::nullopt;
    Drawn drawn;
    std::vector<std::string> common, others;
    for (const size_t i : streams_->python.SampleIndices(pool.size(), count)) {
      (common.size() < kCommonWords ? common : others).push_back(pool[i]);
    }
    std::vector<std::string> list;
    for (int64_t i = 0; i < repeats.common; ++i) {
      list.insert(list.end(), common.begin(), common.end());
    }
    for (int64_t i = 0; i < repeats.others; ++i) {
      list.insert(list.end(), others.begin(), others.end());
    }
    PythonRandom(streams_->seed).Shuffle(&list);
    return Drawn{NumberedList(list), std::move(common)};
  }

  RulerTemplate text_;
  RulerSources* sources_;
  RulerStreams* streams_;
  std::vector<std::string> words_;
  bool short_;
};

std::string CodedWord(RulerStreams* streams) {
  std::string word;
  for (const size_t i : streams->python.ChoiceIndices(26, kCodedLetters)) {
    word += static_cast<char>('a' + i);
  }
  return word;
}

}  // namespace

std::unique_ptr<PromptDrawer> MakeCweDrawer(const RulerTemplate& text,
                                            int64_t length,
                                            RulerSources* sources,
                                            RulerStreams* streams) {
  return std::make_unique<CweDrawer>(text, length, sources, streams);
}

std::string NumberedList(const std::vector<std::string>& words) {
  std::string list;
  for (size_t i = 0; i < words.size(); ++i) {
    fmt::format_to(std::back_inserter(list), "{}{}. {}", i > 0 ? " " : "",
                   i + 1, words[i]);
  }
  return list;
}

FweVocabulary::FweVocabulary(int64_t size, RulerStreams* streams)
    : seed_(streams->seed) {
  std::set<std::string> distinct;
  for (int64_t i = 0; i < size; ++i) distinct.insert(CodedWord(streams));
  while (static_cast<int64_t>(distinct.size()) < size) {
    distinct.insert(CodedWord(streams));
  }
  words_.assign(distinct.begin(), distinct.end());
  PythonRandom(seed_).Shuffle(&words_);
  if (!words_.empty()) words_[0] = "...";
}

std::string FweVocabulary::Text(int64_t words) const {
  constexpr double kZeta2 = std::numbers::pi * std::numbers::pi / 6;
  std::vector<std::string> text;
  for (size_t k = 0; k < words_.size(); ++k) {
    const double share = std::pow(static_cast<double>(k + 1), -2.0);
    const double count = static_cast<double>(words) * share / kZeta2;
    for (int64_t i = 0; i < static_cast<int64_t>(count); ++i) {
      text.push_back(words_[k]);
    }
  }
  PythonRandom(seed_).Shuffle(&text);
  return Join(text, " ");
}

std::vector<std::string> FweVocabulary::Answers() const {
  const size_t end = std::min<size_t>(4, words_.size());
  return {words_.begin() + std::min<size_t>(1, end), words_.begin() + end};
}

}  // namespace rattn
