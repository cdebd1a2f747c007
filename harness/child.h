// A child process that runs cells: `rattn cell`, on /proc/self/exe. A crash, an
// out-of-memory kill or a time limit ends that process alone.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <string>

#include "models/json_fields.h"

namespace rattn {

struct ChildOutcome {
  int exit_code = 0;
  int signal = 0;  // that ended it; 0 if it exited
  bool timed_out = false;
  double seconds = 0;
  int64_t peak_memory = 0;  // bytes
  std::string last_line;    // of its standard error

  bool ok() const { return exit_code == 0 && signal == 0; }
  // "killed by SIGSEGV: ..." in one line, for a cell's reason.
  std::string Reason(double time_limit) const;
};

class Child {
 public:
  // Starts `rattn cell --out OUTPUT --products PRODUCTS` with `job` on its
  // standard input. Throws RunError.
  Child(const Json& job, const std::string& output, const std::string& products,
        double time_limit);
  ~Child();  // kills what still runs
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  int process_descriptor() const { return pidfd_; }
  int output_descriptor() const { return pipe_; }

  // Takes in what the child has written so far.
  void ReadOutput();
  // Kills the child if its time is over.
  void EnforceLimit();
  double SecondsLeft() const;
  void Interrupt();  // SIGINT: stop and keep what is done
  void Kill();
  // Waits for the end.
  ChildOutcome Finish();

  // What the child says it is doing ("120/500 loss 1.23"), may be empty.
  const std::string& progress() const { return progress_; }

 private:
  void TakeLine(const std::string& line);

  pid_t pid_ = -1;
  int pidfd_ = -1;
  int pipe_ = -1;
  double time_limit_;
  bool timed_out_ = false;
  std::chrono::steady_clock::time_point start_;
  std::string partial_line_, last_line_, progress_;
};

// Marks a line of a child's standard error as progress, not as a message.
inline constexpr char kProgressMark = '\x01';

}  // namespace rattn
