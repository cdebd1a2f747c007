#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <utility>

#include "tasks/python_text.h"
#include "tasks/ruler_text/draws.h"

namespace rattn {
namespace {

constexpr int64_t kLowestValue = 10000;
constexpr int64_t kAboveValues = 99999;
constexpr std::string_view kExampleValue = "12345";

std::string Letters(size_t count, RulerStreams* streams) {
  std::string letters;
  for (const size_t index : streams->python.ChoiceIndices(26, count)) {
    letters += static_cast<char>('A' + index);
  }
  return letters;
}

std::string RandomValue(RulerStreams* streams) {
  return std::to_string(streams->numpy.RandInt(kLowestValue, kAboveValues));
}

// The last `count` words of a text.
std::vector<std::string> LastWords(std::string_view text, size_t count) {
  std::vector<std::string> words;
  text = PythonStrip(text);
  while (words.size() < count && !text.empty()) {
    const size_t space = text.find_last_of(" \n");
    const size_t begin = space == text.npos ? 0 : space + 1;
    words.insert(words.begin(), std::string(text.substr(begin)));
    text = PythonRStrip(text.substr(0, begin));
  }
  return words;
}

}  // namespace

VtDrawer::VtDrawer(RulerTemplate text, std::string noise_unit, bool is_example,
                   RulerStreams* streams)
    : text_(std::move(text)),
      noise_unit_(std::move(noise_unit)),
      is_example_(is_example),
      streams_(streams) {}

std::string VtDrawer::Name() { return Letters(is_example_ ? 3 : 5, streams_); }

std::optional<RulerPrompt> VtDrawer::Draw(int64_t units, int64_t) {
  std::vector<std::string> names;
  for (int64_t i = 0; i < kNames; ++i) names.push_back(Name());
  std::set<std::string> distinct(names.begin(), names.end());
  const bool repeated = distinct.size() < names.size();
  while (distinct.size() < kNames) distinct.insert(Name());
  const std::string value =
      is_example_ ? std::string(kExampleValue) : RandomValue(streams_);
  if (repeated) {
    // The names drawn in place of repeats begin a second chain, whose value
    // is drawn before its missing names raise an exception.
    if (!is_example_) RandomValue(streams_);
    return std::nullopt;
  }
  if (units < kNames) return std::nullopt;
  std::vector<size_t> places = streams_->python.SampleIndices(units, kNames);
  std::sort(places.begin(), places.end());
  std::string context;
  size_t next = 0;
  for (int64_t line = 0; line < units; ++line) {
    if (line > 0) context += '\n';
    if (next < places.size() && places[next] == static_cast<size_t>(line)) {
      context += next == 0 ? fmt::format("VAR {} = {}\n", names[0], value)
                           : fmt::format("VAR {} = VAR {} \n", names[next],
                                         names[next - 1]);
      ++next;
    }
    context += noise_unit_;
  }
  context = ReplaceAll(context, ". \n", ".\n");
  const std::string count = std::to_string(kNames);
  const TemplateValues slots = {
      {"context", context}, {"query", value}, {"num_v", count}};
  return RulerPrompt{FormatTemplate(text_.text, slots),
                     FormatTemplate(text_.prefix, slots), std::move(names)};
}

std::string VtDrawer::FreshExample() {
  std::string example = example_;
  for (const std::string& name : LastWords(example_, kNames)) {
    example = ReplaceAll(example, name, Letters(name.size(), streams_));
  }
  return ReplaceAll(example, kExampleValue, RandomValue(streams_));
}

std::optional<RulerPrompt> VtDrawer::Sample(int64_t units, int64_t index) {
  std::optional<RulerPrompt> prompt = Draw(units, index);
  if (!prompt || example_.empty()) return prompt;
  const size_t cutoff = prompt->body.find(opening_);
  prompt->body.insert(cutoff == std::string::npos ? 0 : cutoff,
                      FreshExample() + '\n');
  return prompt;
}

}  // namespace rattn
