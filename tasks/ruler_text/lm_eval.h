// RULER as lm-evaluation-harness 4e7e0d4 ports it: other lengths, texts and
// draws than the original's. The port draws from one stream in the order in
// which it builds its tasks; here each task and length begins with the stream
// as it is at the start of a run (Python seed 0, NumPy seed 1234), as if it
// were the only one. Other values of `seed` than the default replace the 0.
#pragma once

#include <cstdint>
#include <vector>

#include "tasks/ruler_text/official.h"

namespace rattn {

// `counter` counts as the tokenizer encodes by itself, special tokens
// included. Fewer samples than asked for where some do not fit, as the port
// does it; throws the UserErrors of MakeOfficialSamples where none does.
std::vector<RulerTextSample> MakeLmEvalSamples(const RulerTextTask& task,
                                               const RulerRequest& request,
                                               RulerSources* sources,
                                               TokenCounter* counter);

}  // namespace rattn
