#include "tasks/files/text_metrics.h"

#include <algorithm>

#include "models/error.h"
#include "tasks/python_text.h"

namespace rattn {
namespace {

enum class Length { kNone, kCodePoints, kBytes };

bool IsGold(const TextDocument& document, size_t choice) {
  return std::find(document.gold.begin(), document.gold.end(), choice) !=
         document.gold.end();
}

double PickedGold(const TextDocument& document,
                  std::span<const TextAnswer> answers, Length length) {
  std::vector<double> scores;
  for (size_t i = 0; i < answers.size(); ++i) {
    const std::string& choice = document.choices[i];
    double divisor = 1;
    if (length == Length::kCodePoints) {
      divisor = static_cast<double>(CodePoints(choice));
    } else if (length == Length::kBytes) {
      divisor = static_cast<double>(choice.size());
    }
    scores.push_back(answers[i].log_likelihood / divisor);
  }
  return IsGold(document, FirstLargest(scores)) ? 1 : 0;
}

double AnyGoldIsGreedy(const TextDocument& document,
                       std::span<const TextAnswer> answers) {
  return std::any_of(document.gold.begin(), document.gold.end(),
                     [&](size_t i) { return answers[i].is_greedy; });
}

double MatchesReference(const TextTask& task, const TextDocument& document,
                        const std::string& filtered) {
  const std::string answer = task.normalize({filtered}).front();
  const auto references = task.normalize(document.references);
  return std::find(references.begin(), references.end(), answer) !=
         references.end();
}

DocumentMetric Metric(const std::string& name, const TextTask& task,
                      const TextDocument& document,
                      std::span<const TextAnswer> answers,
                      const std::string& filtered) {
  const bool generated = task.output == OutputKind::kGenerate;
  if (task.output == OutputKind::kLogLikelihood) {
    if (name == "perplexity") return {name, answers[0].log_likelihood, false};
    if (name == "acc") return {name, answers[0].is_greedy ? 1.0 : 0.0, true};
  } else if (name == "exact_match") {
    return {name,
            generated ? MatchesReference(task, document, filtered)
                      : AnyGoldIsGreedy(document, answers),
            !generated};
  } else if (name == "acc") {
    return {name, PickedGold(document, answers, Length::kNone), false};
  } else if (name == "acc_norm") {
    return {name, PickedGold(document, answers, Length::kCodePoints), false};
  } else if (name == "acc_bytes") {
    return {name, PickedGold(document, answers, Length::kBytes), false};
  }
  throw UserError(task.name + ": has no metric " + name);
}

}  // namespace

std::vector<DocumentMetric> ScoreDocument(const TextTask& task,
                                          const TextDocument& document,
                                          std::span<const TextAnswer> answers,
                                          const std::string& filtered) {
  std::vector<DocumentMetric> metrics;
  for (const std::string& name : task.metrics) {
    metrics.push_back(Metric(name, task, document, answers, filtered));
  }
  return metrics;
}

size_t FirstLargest(std::span<const double> values) {
  return static_cast<size_t>(std::max_element(values.begin(), values.end()) -
                             values.begin());
}

std::string CutAtStops(std::string text, std::span<const std::string> stops) {
  for (const std::string& stop : stops) {
    if (!stop.empty()) text.resize(std::min(text.size(), text.find(stop)));
  }
  return text;
}

}  // namespace rattn
