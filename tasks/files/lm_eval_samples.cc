#include "tasks/files/lm_eval_samples.h"

#include <fmt/format.h>

#include "models/sha256.h"

namespace rattn {
namespace {

Json Arguments(std::span<const TextRequest> requests, const Json& generation) {
  Json arguments = Json::object();
  for (size_t i = 0; i < requests.size(); ++i) {
    Json& one = arguments[fmt::format("gen_args_{}", i)];
    one["arg_0"] = *requests[i].context;
    one["arg_1"] =
        requests[i].generate ? generation : Json(requests[i].continuation);
  }
  return arguments;
}

// lm-eval turns everything into text.
Json Response(const TextRequest& request, const TextAnswer& answer) {
  if (request.generate) return answer.text;
  return {PythonFloat(answer.log_likelihood),
          answer.is_greedy ? "True" : "False"};
}

}  // namespace

SampleHashes HashSample(const TextDocument& document,
                        const TextRequest& first_request) {
  return {Sha256Hex(document.row.dump(2)), Sha256Hex(*first_request.context),
          Sha256Hex(document.target_text)};
}

Json SampleLine(const TextTask& task, int64_t number,
                const TextDocument& document,
                std::span<const TextRequest> requests, const Json& generation,
                std::span<const TextAnswer> answers, const std::string& filter,
                const std::string& filtered,
                const std::vector<DocumentMetric>& metrics,
                const SampleHashes& hashes) {
  Json responses = Json::array(), kept = Json::array();
  for (size_t i = 0; i < requests.size(); ++i) {
    const Json response = Response(requests[i], answers[i]);
    responses.push_back(Json::array({response}));
    kept.push_back(task.output == OutputKind::kGenerate ? Json(filtered)
                                                        : response);
  }
  Json line = {{"doc_id", number},
               {"doc", document.row},
               {"target", document.target_text},
               {"arguments", Arguments(requests, generation)},
               {"resps", responses},
               {"filtered_resps", kept},
               {"filter", filter},
               {"metrics", task.metrics},
               {"doc_hash", hashes.document},
               {"prompt_hash", hashes.prompt},
               {"target_hash", hashes.target}};
  for (const DocumentMetric& metric : metrics) {
    line[metric.name] = metric.integer ? Json(static_cast<int>(metric.value))
                                       : Json(metric.value);
  }
  return line;
}

std::string PythonFloat(double value) {
  std::string text = fmt::format("{}", value);
  if (text.find_first_not_of("-0123456789") == std::string::npos) text += ".0";
  return text;
}

}  // namespace rattn
