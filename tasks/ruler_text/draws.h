// Attempts at prompts as RULER's generators draw them: every call advances the
// random stream that all of a task's samples come from.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tasks/python_random.h"
#include "tasks/ruler_text/sources.h"
#include "tasks/ruler_text/text_tasks.h"

namespace rattn {

struct RulerPrompt {
  std::string body;    // the prompt without
  std::string prefix;  // how the answer begins
  std::vector<std::string> outputs;

  std::string Text() const { return body + prefix; }
};

struct RulerStreams {
  explicit RulerStreams(uint64_t seed)
      : seed(seed), python(seed), numpy(static_cast<uint32_t>(seed)) {}
  RulerStreams(uint64_t seed, uint64_t python_seed, uint32_t numpy_seed)
      : seed(seed), python(python_seed), numpy(numpy_seed) {}
  uint64_t seed;  // of the fresh Random objects that some draws use
  PythonRandom python;
  NumpyRandom numpy;
};

class PromptDrawer {
 public:
  virtual ~PromptDrawer() = default;
  // With `units` of haystack (words, lines or documents). Nothing where the
  // original raises an exception; the stream is then where that leaves it.
  virtual std::optional<RulerPrompt> Draw(int64_t units, int64_t index) = 0;
  // What becomes a sample: by default the same as what the search draws.
  virtual std::optional<RulerPrompt> Sample(int64_t units, int64_t index) {
    return Draw(units, index);
  }
};

// Where the port in lm-eval differs in what it draws.
struct DrawerOptions {
  bool repeat_haystack = true;  // corpus and documents, when they run out
};

// `text` is a task's template inside of its chat wrapper. Sources, streams and
// `task` outlive the drawer.
std::unique_ptr<PromptDrawer> MakeNiahDrawer(const RulerTextTask& task,
                                             const RulerTemplate& text,
                                             const DrawerOptions& options,
                                             RulerSources* sources,
                                             RulerStreams* streams);
std::unique_ptr<PromptDrawer> MakeQaDrawer(const RulerTextTask& task,
                                           const RulerTemplate& text,
                                           const DrawerOptions& options,
                                           RulerSources* sources,
                                           RulerStreams* streams);
int64_t QaQuestions(const RulerTextTask& task, RulerSources* sources);

// Variable tracking. The worked example is one of its own prompts, with short
// names; `example` (empty: none) is put before the task with fresh names.
class VtDrawer : public PromptDrawer {
 public:
  static constexpr int64_t kNames = 5;  // of a chain: the value and four hops
  VtDrawer(RulerTemplate text, std::string noise_unit, bool is_example,
           RulerStreams* streams);
  void set_example(std::string example) { example_ = std::move(example); }
  // `opening` begins the task's own text inside of a chat wrapper.
  void set_opening(std::string opening) { opening_ = std::move(opening); }
  std::optional<RulerPrompt> Draw(int64_t units, int64_t index) override;
  std::optional<RulerPrompt> Sample(int64_t units, int64_t index) override;

 private:
  std::string Name();
  std::string FreshExample();

  RulerTemplate text_;
  std::string noise_unit_;
  bool is_example_;
  RulerStreams* streams_;
  std::string example_, opening_;
};

// Common words. Lists below `short_length` tokens repeat words less often.
std::unique_ptr<PromptDrawer> MakeCweDrawer(const RulerTemplate& text,
                                            int64_t length,
                                            RulerSources* sources,
                                            RulerStreams* streams);
// "1. word 2. word ..".
std::string NumberedList(const std::vector<std::string>& words);

// Frequent coded words: the vocabulary of one sample and its text.
class FweVocabulary {
 public:
  FweVocabulary(int64_t size, RulerStreams* streams);
  // Words of the text, the likeliest replaced by dots.
  std::string Text(int64_t words) const;
  std::vector<std::string> Answers() const;

 private:
  std::vector<std::string> words_;
  uint64_t seed_;
};

// str.join().
std::string Join(const std::vector<std::string>& pieces,
                 std::string_view between);

}  // namespace rattn
