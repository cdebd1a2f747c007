// The door to RULER on text: data for evaluations, with all that made it.
//
//   RulerSources sources({.data = folder});
//   for (const RulerTextSample& s : MakeRulerSamples(mode, task, request,
//                                                    &sources, tokenizer)) {
//     // The model continues s.Prompt() by s.tokens_to_generate tokens,
//     // greedily, with no stop but the end of text; what it gives is scored
//     // by ScoreRulerTask against s.outputs.
//   }
#pragma once

#include <string>
#include <vector>

#include "models/json_fields.h"
#include "models/tokenizer.h"
#include "tasks/ruler_text/official.h"

namespace rattn {

// Throws UserErrors: missing data, a length outside of [64, 1048576] or too
// short for the task (with the least possible one).
std::vector<RulerTextSample> MakeRulerSamples(RulerMode mode,
                                              const RulerTextTask& task,
                                              const RulerRequest& request,
                                              RulerSources* sources,
                                              const Tokenizer& tokenizer);

// Mode, generator version, task, length, samples, seed, wrapper, and hashes of
// tokenizer, templates and data: stands beside every score. Reads the data.
Json RulerIdentity(RulerMode mode, const RulerTextTask& task,
                   const RulerRequest& request, RulerSources* sources,
                   const Tokenizer& tokenizer);

// Lines of samples, each ended by a newline.
std::string RulerDataFile(const std::vector<RulerTextSample>& samples);
// A data file as above or of RULER itself. Samples are numbered by line,
// whatever their stored index says.
std::vector<RulerTextSample> ReadRulerDataFile(const std::string& path);

}  // namespace rattn
