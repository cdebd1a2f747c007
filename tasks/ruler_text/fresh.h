// RULER's 13 tasks in a wording of our own. Unlike the original's, layouts
// differ between samples, every draw depends on seed, task and index alone
// (not on the tokenizer or the length), lengths are hit as closely as the
// units of haystack allow, and no word of a list hides in another.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "tasks/ruler_text/draws.h"
#include "tasks/ruler_text/official.h"
#include "tasks/sample.h"

namespace rattn {

// One sample whose draws are made: it grows with its units of haystack.
class FreshSample {
 public:
  virtual ~FreshSample() = default;
  virtual RulerPrompt Render(int64_t units) const = 0;
  virtual int64_t least() const { return 1; }
  virtual int64_t most() const { return int64_t{1} << 40; }
};

struct FreshContext {
  const RulerTextTask& task;
  int64_t room = 0;  // tokens of a prompt
  RulerSources* sources;
  TokenCounter* counter;
  PhiloxSequence random;    // of the sample
  uint64_t lines_seed = 0;  // of draws that are made line by line
};

std::unique_ptr<FreshSample> MakeFreshNiah(FreshContext context);
std::unique_ptr<FreshSample> MakeFreshVt(FreshContext context);
std::unique_ptr<FreshSample> MakeFreshCwe(FreshContext context);
std::unique_ptr<FreshSample> MakeFreshFwe(FreshContext context);
std::unique_ptr<FreshSample> MakeFreshQa(FreshContext context);

// Line `index` of an endless text of no meaning.
std::string_view FreshNoise(uint64_t seed, int64_t index);
std::string FreshLetters(size_t count, char first, PhiloxSequence* random);

// The same request as MakeOfficialSamples; `wrapper` is used as there.
std::vector<RulerTextSample> MakeFreshSamples(const RulerTextTask& task,
                                              const RulerRequest& request,
                                              RulerSources* sources,
                                              TokenCounter* counter);
int64_t FreshBudget(RulerFamily family);

}  // namespace rattn
