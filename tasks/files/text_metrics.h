// From answers to metrics of one document.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "tasks/files/text_task.h"

namespace rattn {

struct TextAnswer {
  double log_likelihood = 0;  // of the continuation, nats
  bool is_greedy = false;     // every token of it is the likeliest
  std::string text;           // of a generation, cut at its stop strings
};

struct DocumentMetric {
  std::string name;
  double value = 0;      // perplexity: the log-likelihood that is averaged
  bool integer = false;  // as lm-eval writes it
};

// `filtered` is the generated answer after a filter. One answer a request of
// MakeRequests. In task.metrics' order.
std::vector<DocumentMetric> ScoreDocument(const TextTask& task,
                                          const TextDocument& document,
                                          std::span<const TextAnswer> answers,
                                          const std::string& filtered);

// Place of the largest; the first of equals.
size_t FirstLargest(std::span<const double> values);

// `text` before the first of each stop string, in their order.
std::string CutAtStops(std::string text, std::span<const std::string> stops);

}  // namespace rattn
