// A sample of RULER as its data files store it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace rattn {

struct RulerTextSample {
  int64_t index = 0;          // of the sample, from 0
  std::string input;          // the prompt without the answer's beginning
  std::string answer_prefix;  // a model continues input + answer_prefix
  std::vector<std::string> outputs;
  int64_t length = 0;  // tokens of both and of the generation budget
  int64_t tokens_to_generate = 0;
  // Tokens before the answer first occurs; needle tasks only.
  std::optional<int64_t> token_position_answer;
  // What the original stores as "index"; needle tasks overwrite it with the
  // answer's place in the input.
  int64_t stored_index = 0;
  std::vector<int64_t> tries;  // tokens of every attempt at it

  std::string Prompt() const { return input + answer_prefix; }
};

// The line of validation.jsonl as Python's json.dumps writes it, no newline.
std::string RulerDataLine(const RulerTextSample& sample);
// Throws UserErrors that begin with `where` (file and line, usually).
RulerTextSample ParseRulerDataLine(const std::string& line,
                                   const std::string& where);
// A line of a prediction file: index, pred, input, outputs, others,
// truncation, length.
std::string RulerPredictionLine(const RulerTextSample& sample,
                                const std::string& prediction);

}  // namespace rattn
