#include "harness/child.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <vector>

#include "models/error.h"

namespace rattn {
namespace {

constexpr size_t kLongestLine = 4096;

[[noreturn]] void ThrowSystem(const char* what) {
  throw RunError(
      fmt::format("cannot start a cell: {}: {}", what, std::strerror(errno)));
}

// The job as a readable descriptor, whatever its size.
int JobDescriptor(const Json& job) {
  const std::string text = job.dump();
  const int descriptor = memfd_create("rattn-job", MFD_CLOEXEC);
  if (descriptor < 0) ThrowSystem("memfd");
  if (write(descriptor, text.data(), text.size()) !=
          static_cast<ssize_t>(text.size()) ||
      lseek(descriptor, 0, SEEK_SET) != 0) {
    close(descriptor);
    ThrowSystem("write");
  }
  return descriptor;
}

// In the child between fork and exec: only async-signal-safe calls.
[[noreturn]] void Become(int job, int errors, pid_t parent,
                         const std::vector<char*>& argv) {
  // A group of its own: the terminal's Ctrl-C reaches it through the parent,
  // once, so that it can save what it has.
  setpgid(0, 0);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(1);  // it died before the line above
  dup2(job, STDIN_FILENO);
  dup2(errors, STDOUT_FILENO);
  dup2(errors, STDERR_FILENO);
  execv("/proc/self/exe", argv.data());
  _exit(127);
}

}  // namespace

Child::Child(const Json& job, const std::string& output,
             const std::string& products, double time_limit)
    : time_limit_(time_limit), start_(std::chrono::steady_clock::now()) {
  const int input = JobDescriptor(job);
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) ThrowSystem("pipe");
  std::vector<std::string> words = {"rattn", "cell",       "--out",
                                    output,  "--products", products};
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  const pid_t parent = getpid();
  pid_ = fork();
  if (pid_ == 0) Become(input, ends[1], parent, argv);
  close(input);
  close(ends[1]);
  pipe_ = ends[0];
  if (pid_ < 0) ThrowSystem("fork");
  fcntl(pipe_, F_SETFL, O_NONBLOCK);
  // glibc 2.36 declares pidfd_open() without C linkage.
  pidfd_ = static_cast<int>(syscall(SYS_pidfd_open, pid_, 0));
  if (pidfd_ < 0) ThrowSystem("pidfd_open");
}

Child::~Child() {
  if (pid_ > 0) {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  if (pidfd_ >= 0) close(pidfd_);
  if (pipe_ >= 0) close(pipe_);
}

void Child::TakeLine(const std::string& line) {
  if (!line.empty() && line[0] == kProgressMark) {
    progress_ = line.substr(1);
  } else if (!line.empty()) {
    last_line_ = line;
  }
}

void Child::ReadOutput() {
  char block[4096];
  ssize_t n;
  while ((n = read(pipe_, block, sizeof(block))) > 0) {
    for (ssize_t i = 0; i < n; ++i) {
      if (block[i] == '\n') {
        TakeLine(partial_line_);
        partial_line_.clear();
      } else if (partial_line_.size() < kLongestLine) {
        partial_line_ += block[i];
      }
    }
  }
}

double Child::SecondsLeft() const {
  const std::chrono::duration<double> used =
      std::chrono::steady_clock::now() - start_;
  return time_limit_ - used.count();
}

void Child::EnforceLimit() {
  if (SecondsLeft() > 0 || timed_out_) return;
  timed_out_ = true;
  Kill();
}

void Child::Interrupt() { kill(pid_, SIGINT); }
void Child::Kill() { kill(pid_, SIGKILL); }

ChildOutcome Child::Finish() {
  pollfd ended{pidfd_, POLLIN, 0};
  while (poll(&ended, 1, 200) <= 0) {
    ReadOutput();
    EnforceLimit();
  }
  int status = 0;
  rusage usage = {};
  while (wait4(pid_, &status, 0, &usage) < 0 && errno == EINTR) {
  }
  pid_ = -1;
  ReadOutput();
  TakeLine(partial_line_);
  ChildOutcome outcome;
  outcome.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 0;
  outcome.signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
  outcome.timed_out = timed_out_;
  outcome.seconds = time_limit_ - SecondsLeft();
  outcome.peak_memory = int64_t{usage.ru_maxrss} * 1024;
  outcome.last_line = last_line_;
  return outcome;
}

std::string ChildOutcome::Reason(double time_limit) const {
  std::string reason;
  if (timed_out) {
    reason = fmt::format("time limit of {:.6g} s", time_limit);
  } else if (signal != 0) {
    const char* name = sigabbrev_np(signal);
    reason = name != nullptr ? fmt::format("killed by SIG{}", name)
                             : fmt::format("killed by signal {}", signal);
    if (signal == SIGKILL) reason += " (out of memory?)";
  } else {
    reason = fmt::format("exit code {}", exit_code);
  }
  return last_line.empty() ? reason : fmt::format("{}: {}", reason, last_line);
}

}  // namespace rattn
