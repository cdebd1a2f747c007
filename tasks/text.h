// Byte-level language modelling on a text file: token = byte, 256 of them.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "tasks/task.h"

namespace rattn {

struct TextParams {
  std::string train_file;
  std::string valid_file;  // "" = the end of train_file
  double valid_share = 0.05;
  int64_t train_length = 256;
  int64_t window_keys = 0;  // of the evaluated model; 0 = none
  int64_t seed = 0;
};

template <typename Visitor>
void VisitFields(Visitor& visit, TextParams& p) {
  visit.Required("train_file", p.train_file, "text to train on");
  visit.Optional("valid_file", p.valid_file,
                 "text to evaluate on; empty: the end of train_file");
  visit.Optional("valid_share", p.valid_share,
                 "share of train_file kept for evaluation without valid_file");
  visit.Optional("train_length", p.train_length, "bytes of a training row");
  visit.Optional("window_keys", p.window_keys,
                 "splits scores into bytes within and beyond this window");
  visit.Optional("seed", p.seed, "of the order of the training data");
}

// Evaluation cuts the text into windows of `length` bytes without overlap and
// takes options.samples of them, evenly spread. Scores, in bits per byte:
//   bits_per_byte                       all bytes
//   bits_per_byte.position_A_B          bytes that A..B bytes stand before
//   bits_per_byte.within_window         everything before them is in the window
//   bits_per_byte.beyond_window         the rest
//   bits_per_byte.repeat_within_window  the 8 bytes before stood earlier in the
//   bits_per_byte.repeat_beyond_window  row; their latest continuation is
//                                       inside, or outside, the window
// Standard errors are over windows of text. Throws UserError for files that
// are missing, too large or too short.
std::unique_ptr<Task> MakeText(const std::string& params_json);

}  // namespace rattn
