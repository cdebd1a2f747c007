// Lines of lm-eval's samples_TASK.jsonl (--log_samples).
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "models/json_fields.h"
#include "tasks/files/text_metrics.h"
#include "tasks/files/text_requests.h"
#include "tasks/files/text_task.h"

namespace rattn {

// SHA-256 of the indented document, of the first context, of the target.
struct SampleHashes {
  std::string document, prompt, target;
  std::string All() const { return document + prompt + target; }
};
SampleHashes HashSample(const TextDocument& document,
                        const TextRequest& first_request);

// `filter` is the name of the filter and `filtered` what it gave (generations
// only); `generation` the settings that are logged as the second argument.
Json SampleLine(const TextTask& task, int64_t number,
                const TextDocument& document,
                std::span<const TextRequest> requests, const Json& generation,
                std::span<const TextAnswer> answers, const std::string& filter,
                const std::string& filtered,
                const std::vector<DocumentMetric>& metrics,
                const SampleHashes& hashes);

// repr() of a Python float: shortest digits that give it back.
std::string PythonFloat(double value);

}  // namespace rattn
