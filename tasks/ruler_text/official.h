// RULER's data as NVIDIA/RULER at commit c3f5e3b generates it, byte for byte
// given the same tokenizer, templates and data, mistakes included.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tasks/ruler_text/draws.h"
#include "tasks/ruler_text/sources.h"
#include "tasks/ruler_text/text_sample.h"
#include "tasks/ruler_text/token_counter.h"

namespace rattn {

struct RulerRequest {
  int64_t length = 4096;  // tokens of prompt, prefix and generation together
  int64_t samples = 500;
  uint64_t seed = 42;
  // Around a task's text: "{task_template}" is replaced by it. The answer
  // prefix follows the whole.
  std::string wrapper = "{task_template}";
};

// `counter` counts without special tokens. Throws UserErrors: data that is
// missing, more samples than questions, and a length that no prompt fits,
// where the original never ends; it names the least that would do.
std::vector<RulerTextSample> MakeOfficialSamples(const RulerTextTask& task,
                                                 const RulerRequest& request,
                                                 RulerSources* sources,
                                                 TokenCounter* counter);

// "niah_single_2 at 512 tokens: ... needs at least 812".
[[noreturn]] void ThrowTooShort(const RulerTextTask& task,
                                const RulerRequest& request, int64_t least);
// More samples than the task has questions are a UserError.
void CheckQuestions(const RulerTextTask& task, const RulerRequest& request,
                    RulerSources* sources);
// A prompt as a sample without counts; and as the original stores it, with the
// place of a needle's answer.
RulerTextSample PlainSample(RulerPrompt prompt, int64_t index, int64_t budget);
RulerTextSample ToSample(const RulerTextTask& task, RulerPrompt prompt,
                         int64_t index, int64_t budget, TokenCounter* counter);

}  // namespace rattn
