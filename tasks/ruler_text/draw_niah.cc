#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <functional>

#include "tasks/ruler_text/draws.h"

namespace rattn {
namespace {

// np.round(np.linspace(0, 100, 40)): per cent of the sentences.
constexpr std::array<int, 40> kDepths = {
    0,  3,  5,  8,  10, 13, 15, 18, 21, 23, 26, 28, 31, 33,
    36, 38, 41, 44, 46, 49, 51, 54, 56, 59, 62, 64, 67, 69,
    72, 74, 77, 79, 82, 85, 87, 90, 92, 95, 97, 100};

class NiahDrawer : public PromptDrawer {
 public:
  NiahDrawer(const RulerTextTask& task, const RulerTemplate& text,
             const DrawerOptions& options, RulerSources* sources,
             RulerStreams* streams)
      : task_(task),
        text_(text),
        options_(options),
        sources_(sources),
        streams_(streams),
        type_(NeedleKindName(task.value)) {
    if (task.queries * task.values > 1) return;
    text_.text = Singular(text_.text);
    text_.prefix = Singular(text_.prefix);
    asked_type_ = type_.substr(0, type_.size() - 1);
  }

  std::optional<RulerPrompt> Draw(int64_t units, int64_t index) override;

 private:
  std::string Random(NeedleKind kind);
  std::string Needle(std::string_view key, std::string_view value) const;
  std::string EssayContext(int64_t words,
                           const std::vector<std::string>& needles);
  std::optional<std::string> LineContext(
      int64_t lines, const std::vector<std::string>& needles);

  const RulerTextTask& task_;
  RulerTemplate text_;
  DrawerOptions options_;
  RulerSources* sources_;
  RulerStreams* streams_;
  std::string type_;
  std::string asked_type_ = type_;
};

std::string NiahDrawer::Random(NeedleKind kind) {
  PythonRandom& random = streams_->python;
  switch (kind) {
    case NeedleKind::kNumbers:
      return std::to_string(random.RandInt(1000000, 9999999));
    case NeedleKind::kUuids:
      return random.Uuid4();
    default:
      const WordPairs& pairs = sources_->pairs();
      return pairs.at(random.Below(pairs.size()));
  }
}

std::string NiahDrawer::Needle(std::string_view key,
                               std::string_view value) const {
  return FormatTemplate(
      sources_->templates().needle,
      {{"type_needle_v", type_}, {"key", key}, {"value", value}});
}

std::string NiahDrawer::EssayContext(int64_t words,
                                     const std::vector<std::string>& needles) {
  const Haystack& haystack = sources_->haystack();
  if (!options_.repeat_haystack) words = std::min(words, haystack.words());
  const std::vector<std::string_view> sentences = haystack.Cut(0, words);
  std::vector<size_t> places;
  for (const size_t depth :
       streams_->python.SampleIndices(kDepths.size(), needles.size())) {
    places.push_back(static_cast<size_t>(static_cast<double>(sentences.size()) *
                                         (kDepths[depth] / 100.0)));
  }
  std::sort(places.begin(), places.end());
  places.push_back(sentences.size());
  std::string context;
  size_t at = 0;
  for (size_t i = 0; i < places.size(); ++i) {
    for (size_t begin = at; at < places[i]; ++at) {
      if (at > begin) context += ' ';
      context += sentences[at];
    }
    // Empty stretches keep their space, at the ends as well.
    if (i < needles.size()) context += ' ' + needles[i] + ' ';
  }
  return context;
}

std::optional<std::string> NiahDrawer::LineContext(
    int64_t lines, const std::vector<std::string>& needles) {
  std::vector<std::string> distractors;
  if (task_.haystack == HaystackKind::kNeedle) {
    for (int64_t i = 0; i < lines; ++i) {
      const std::string key = Random(task_.key);
      distractors.push_back(Needle(key, Random(task_.value)));
    }
  }
  if (lines < static_cast<int64_t>(needles.size())) return std::nullopt;
  const std::vector<size_t> drawn =
      streams_->python.SampleIndices(lines, needles.size());
  // Needle i goes before the line with the i-th highest index.
  std::vector<std::pair<size_t, const std::string*>> places;
  for (const size_t place : drawn) places.emplace_back(place, nullptr);
  std::sort(places.begin(), places.end(), std::greater<>());
  for (size_t i = 0; i < needles.size(); ++i) places[i].second = &needles[i];
  std::string context;
  size_t next = places.size();
  for (int64_t line = 0; line < lines; ++line) {
    if (line > 0) context += '\n';
    if (next > 0 && places[next - 1].first == static_cast<size_t>(line)) {
      context += *places[--next].second + '\n';
    }
    context += distractors.empty() ? sources_->templates().noise_unit
                                   : distractors[line];
  }
  return context;
}

// "a, b, and c".
std::string QueryText(const std::vector<std::string>& keys) {
  if (keys.size() == 1) return keys.front();
  return Join({keys.begin(), keys.end() - 1}, ", ") + ", and " + keys.back();
}

std::optional<RulerPrompt> NiahDrawer::Draw(int64_t units, int64_t) {
  std::vector<std::string> keys, needles;
  std::vector<std::vector<std::string>> values(task_.keys);
  for (int64_t k = 0; k < task_.keys; ++k) {
    keys.push_back(Random(task_.key));
    for (int64_t v = 0; v < task_.values; ++v) {
      values[k].push_back(Random(task_.value));
      needles.push_back(Needle(keys.back(), values[k].back()));
    }
  }
  PythonRandom(streams_->seed).Shuffle(&needles);
  const std::optional<std::string> context =
      task_.haystack == HaystackKind::kEssay ? EssayContext(units, needles)
                                             : LineContext(units, needles);
  if (!context) return std::nullopt;
  RulerPrompt prompt;
  std::vector<std::string> asked;
  for (const size_t k :
       streams_->python.SampleIndices(task_.keys, task_.queries)) {
    asked.push_back(keys[k]);
    prompt.outputs.insert(prompt.outputs.end(), values[k].begin(),
                          values[k].end());
  }
  const std::string query = QueryText(asked);
  const TemplateValues slots = {
      {"type_needle_v", asked_type_}, {"context", *context}, {"query", query}};
  prompt.body = FormatTemplate(text_.text, slots);
  prompt.prefix = FormatTemplate(text_.prefix, slots);
  return prompt;
}

}  // namespace

std::unique_ptr<PromptDrawer> MakeNiahDrawer(const RulerTextTask& task,
                                             const RulerTemplate& text,
                                             const DrawerOptions& options,
                                             RulerSources* sources,
                                             RulerStreams* streams) {
  return std::make_unique<NiahDrawer>(task, text, options, sources, streams);
}

std::string Join(const std::vector<std::string>& pieces,
                 std::string_view between) {
  std::string result;
  for (size_t i = 0; i < pieces.size(); ++i) {
    if (i > 0) result += between;
    result += pieces[i];
  }
  return result;
}

}  // namespace rattn
