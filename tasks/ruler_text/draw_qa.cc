#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <unordered_set>

#include "tasks/ruler_text/draws.h"

namespace rattn {
namespace {

const QaSet& SetOf(const RulerTextTask& task, RulerSources* sources) {
  return task.name == "qa_1" ? sources->squad() : sources->hotpot();
}

class QaDrawer : public PromptDrawer {
 public:
  QaDrawer(const QaSet& set, const RulerTemplate& text,
           const DrawerOptions& options, RulerStreams* streams)
      : set_(set),
        text_(text),
        options_(options),
        streams_(streams),
        order_(set.documents.size()) {
    std::iota(order_.begin(), order_.end(), size_t{0});
  }

  std::optional<RulerPrompt> Draw(int64_t units, int64_t index) override {
    const QaQuestion& question = set_.questions.at(index);
    std::optional<std::vector<size_t>> documents =
        units < static_cast<int64_t>(order_.size()) ? Some(question, units)
                                                    : All(units);
    if (!documents) return std::nullopt;
    PythonRandom(streams_->seed).Shuffle(&*documents);
    // The port shuffles its collection itself, and never orders it again.
    if (!options_.repeat_haystack && documents->size() == order_.size()) {
      order_ = *documents;
    }
    std::string context;
    for (size_t i = 0; i < documents->size(); ++i) {
      fmt::format_to(std::back_inserter(context), "{}Document {}:\n{}",
                     i > 0 ? "\n\n" : "", i + 1,
                     set_.documents[(*documents)[i]]);
    }
    const TemplateValues slots = {{"context", context},
                                  {"query", question.query}};
    return RulerPrompt{FormatTemplate(text_.text, slots),
                       FormatTemplate(text_.prefix, slots), question.answers};
  }

 private:
  // Gold ones, then of the same article, then of all.
  std::optional<std::vector<size_t>> Some(const QaQuestion& question,
                                          int64_t count) {
    std::vector<size_t> result = question.gold;
    const int64_t wanted = count - static_cast<int64_t>(result.size());
    const int64_t related = static_cast<int64_t>(question.related.size());
    if (wanted > related) {
      result.insert(result.end(), question.related.begin(),
                    question.related.end());
      const std::unordered_set<size_t> used(result.begin(), result.end());
      std::vector<size_t> others;
      for (size_t i = 0; i < order_.size(); ++i) {
        if (!used.contains(i)) others.push_back(i);
      }
      if (wanted - related > static_cast<int64_t>(others.size())) {
        return std::nullopt;
      }
      for (const size_t i :
           streams_->python.SampleIndices(others.size(), wanted - related)) {
        result.push_back(others[i]);
      }
    } else if (wanted < 0) {
      return std::nullopt;
    } else {
      for (const size_t i : streams_->python.SampleIndices(related, wanted)) {
        result.push_back(question.related[i]);
      }
    }
    for (size_t& document : result) document = order_[document];
    return result;
  }

  std::vector<size_t> All(int64_t count) const {
    if (!options_.repeat_haystack) return order_;
    std::vector<size_t> result(count);
    for (int64_t i = 0; i < count; ++i) result[i] = order_[i % order_.size()];
    return result;
  }

  const QaSet& set_;
  RulerTemplate text_;
  DrawerOptions options_;
  RulerStreams* streams_;
  std::vector<size_t> order_;  // of the collection
};

}  // namespace

std::unique_ptr<PromptDrawer> MakeQaDrawer(const RulerTextTask& task,
                                           const RulerTemplate& text,
                                           const DrawerOptions& options,
                                           RulerSources* sources,
                                           RulerStreams* streams) {
  return std::make_unique<QaDrawer>(SetOf(task, sources), text, options,
                                    streams);
}

int64_t QaQuestions(const RulerTextTask& task, RulerSources* sources) {
  return static_cast<int64_t>(SetOf(task, sources).questions.size());
}

}  // namespace rattn
