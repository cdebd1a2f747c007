// Prompts that lm-eval's port of RULER makes in another way than RULER.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "tasks/ruler_text/draws.h"

namespace rattn {

// Common words: one stream shuffles the words and then every list.
class LmEvalCweDrawer : public PromptDrawer {
 public:
  LmEvalCweDrawer(const RulerTemplate& text, int64_t length,
                  RulerSources* sources, RulerStreams* streams);
  std::optional<RulerPrompt> Draw(int64_t units, int64_t index) override;
  int64_t words() const { return static_cast<int64_t>(words_.size()); }
  // The worked example of the last draw: counted, never sent.
  const std::string& example() const { return example_; }

 private:
  // Shuffled list of `count` words; the first ten are the common ones.
  std::string List(int64_t count, int64_t common_repeats, int64_t repeats,
                   std::vector<std::string>* common);

  RulerTemplate text_;
  RulerStreams* streams_;
  PythonRandom shuffles_;
  std::vector<std::string> words_;
  bool short_;
  std::string example_;
};

// Variable tracking: noise joined by spaces, cut into sentences where it is
// short, a value of its own in the example.
class LmEvalVtDrawer : public PromptDrawer {
 public:
  LmEvalVtDrawer(RulerTemplate text, std::string noise_unit, size_t letters,
                 RulerStreams* streams);
  std::optional<RulerPrompt> Draw(int64_t units, int64_t index) override;
  // The example with fresh names of the same length.
  std::string FreshExample(std::string example,
                           const std::vector<std::string>& names);

 private:
  std::string Letters(size_t count);
  std::vector<std::string> Noise(int64_t units, size_t lines) const;

  RulerTemplate text_;
  std::string noise_unit_;
  size_t letters_;
  RulerStreams* streams_;
};

}  // namespace rattn
