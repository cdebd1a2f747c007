#include "tasks/ruler_text/lm_eval_draws.h"

#include <algorithm>
#include <set>
#include <utility>

#include "tasks/python_text.h"

namespace rattn {
namespace {

constexpr size_t kCommonWords = 10;
constexpr int64_t kShortLength = 4096;

}  // namespace

LmEvalCweDrawer::LmEvalCweDrawer(const RulerTemplate& text, int64_t length,
                                 RulerSources* sources, RulerStreams* streams)
    : text_(text),
      streams_(streams),
      shuffles_(streams->seed),
      words_(sources->words()),
      short_(length < kShortLength) {
  shuffles_.Shuffle(&words_);
}

std::string LmEvalCweDrawer::List(int64_t count, int64_t common_repeats,
                                  int64_t repeats,
                                  std::vector<std::string>* common) {
  std::vector<std::string> others;
  for (const size_t i : streams_->python.SampleIndices(words_.size(), count)) {
    (common->size() < kCommonWords ? *common : others).push_back(words_[i]);
  }
  std::vector<std::string> list;
  for (int64_t i = 0; i < common_repeats; ++i) {
    list.insert(list.end(), common->begin(), common->end());
  }
  for (int64_t i = 0; i < repeats; ++i) {
    list.insert(list.end(), others.begin(), others.end());
  }
  shuffles_.Shuffle(&list);
  return NumberedList(list);
}

std::optional<RulerPrompt> LmEvalCweDrawer::Draw(int64_t units, int64_t) {
  std::vector<std::string> shown, common;
  const std::string example =
      short_ ? List(20, 3, 1, &shown) : List(40, 10, 3, &shown);
  example_ = FormatTemplate(text_.text + text_.prefix, {{"context", example}}) +
             NumberedList(shown);
  if (units > words()) return std::nullopt;
  const std::string list =
      short_ ? List(units, 6, 1, &common) : List(units, 30, 3, &common);
  return RulerPrompt{FormatTemplate(text_.text, {{"context", list}}),
                     FormatTemplate(text_.prefix, {}), std::move(common)};
}

LmEvalVtDrawer::LmEvalVtDrawer(RulerTemplate text, std::string noise_unit,
                               size_t letters, RulerStreams* streams)
    : text_(std::move(text)),
      noise_unit_(std::move(noise_unit) + "\n"),
      letters_(letters),
      streams_(streams) {}

std::string LmEvalVtDrawer::Letters(size_t count) {
  std::string letters;
  for (const size_t i : streams_->python.ChoiceIndices(26, count)) {
    letters += static_cast<char>('A' + i);
  }
  return letters;
}

// Where there are no more units than `lines` to insert, single sentences.
std::vector<std::string> LmEvalVtDrawer::Noise(int64_t units,
                                               size_t lines) const {
  std::vector<std::string> whole(units, noise_unit_);
  if (whole.size() > lines) return whole;
  std::vector<std::string> pieces;
  for (const std::string& unit : whole) {
    for (size_t at = 0; at <= unit.size();) {
      const size_t end = std::min(unit.find('.', at), unit.size());
      std::string piece = unit.substr(at, end - at);
      if (!PythonStrip(piece).empty()) piece += '.';
      pieces.push_back(std::move(piece));
      at = end + 1;
    }
  }
  return pieces;
}

std::optional<RulerPrompt> LmEvalVtDrawer::Draw(int64_t units, int64_t) {
  const auto value = [&] {
    return std::to_string(streams_->numpy.RandInt(10000, 99999));
  };
  std::vector<std::string> names;
  for (int64_t i = 0; i < VtDrawer::kNames; ++i) {
    names.push_back(Letters(letters_));
  }
  std::set<std::string> distinct(names.begin(), names.end());
  const bool repeated = distinct.size() < names.size();
  while (distinct.size() < names.size()) distinct.insert(Letters(letters_));
  const std::string root = value();
  if (repeated) {
    value();  // of the second chain that the spare names begin
    return std::nullopt;
  }
  std::vector<std::string> chain = {"VAR " + names[0] + " = " + root};
  for (size_t i = 1; i < names.size(); ++i) {
    chain.push_back("VAR " + names[i] + " = VAR " + names[i - 1] + " ");
  }
  std::vector<std::string> sentences = Noise(units, chain.size());
  if (sentences.empty()) return std::nullopt;
  // Too little noise shortens the chain; its answers stay.
  if (sentences.size() <= chain.size()) chain.resize(sentences.size() - 1);
  std::vector<size_t> places =
      streams_->python.SampleIndices(sentences.size(), chain.size());
  std::sort(places.begin(), places.end());
  for (size_t i = 0; i < places.size(); ++i) {
    sentences.insert(sentences.begin() + places[i] + i, chain[i]);
  }
  const std::string context = ReplaceAll(Join(sentences, " "), ". \n", ".\n");
  const std::string count = std::to_string(VtDrawer::kNames);
  const TemplateValues slots = {
      {"context", context}, {"query", root}, {"num_v", count}};
  return RulerPrompt{FormatTemplate(text_.text, slots),
                     FormatTemplate(text_.prefix, slots), std::move(names)};
}

std::string LmEvalVtDrawer::FreshExample(
    std::string example, const std::vector<std::string>& names) {
  for (const std::string& name : names) {
    example = ReplaceAll(example, name, Letters(name.size()));
  }
  return example;
}

}  // namespace rattn
