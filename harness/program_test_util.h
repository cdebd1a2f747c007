// For tests that run the program itself, as its users do.
#pragma once

#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <utility>
#include <vector>

#include "models/json_fields.h"

namespace rattn {

// The program beside this test.
inline std::string ProgramPath() {
  return (std::filesystem::read_symlink("/proc/self/exe").parent_path() /
          "rattn")
      .string();
}

// Whether the model layer was built; if not, cells that train must be skipped.
inline bool HasModelLayer() {
  return std::filesystem::exists(
      std::filesystem::path(ProgramPath()).parent_path() /
      "librattn_models.so");
}

class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string name =
        (std::filesystem::temp_directory_path() / "rattn-test-XXXXXX").string();
    EXPECT_NE(mkdtemp(name.data()), nullptr);
    path_ = name;
  }
  ~TemporaryFolder() {
    std::error_code error;
    std::filesystem::remove_all(path_, error);
  }
  std::string operator/(const std::string& name) const {
    return path_ + "/" + name;
  }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

inline std::string FileText(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

using Environment = std::vector<std::pair<std::string, std::string>>;

struct Ended {
  int exit_code = -1;
  int signal = 0;
  std::string out, err;
};

// A running program; its output goes to files.
class Program {
 public:
  Program(const std::vector<std::string>& arguments,
          const Environment& environment = {}) {
    pid_ = fork();
    if (pid_ == 0) Become(arguments, environment);
  }
  void Signal(int number) const { kill(pid_, number); }
  Ended Wait() {
    int status = 0;
    waitpid(pid_, &status, 0);
    Ended ended;
    if (WIFEXITED(status)) ended.exit_code = WEXITSTATUS(status);
    if (WIFSIGNALED(status)) ended.signal = WTERMSIG(status);
    ended.out = FileText(folder_ / "out");
    ended.err = FileText(folder_ / "err");
    return ended;
  }

 private:
  [[noreturn]] void Become(const std::vector<std::string>& arguments,
                           const Environment& environment) const {
    for (const auto& [name, value] : environment) {
      setenv(name.c_str(), value.c_str(), 1);
    }
    if (freopen((folder_ / "out").c_str(), "w", stdout) == nullptr ||
        freopen((folder_ / "err").c_str(), "w", stderr) == nullptr) {
      _exit(126);
    }
    const std::string program = ProgramPath();
    std::vector<char*> argv = {const_cast<char*>("rattn")};
    for (const std::string& argument : arguments) {
      argv.push_back(const_cast<char*>(argument.c_str()));
    }
    argv.push_back(nullptr);
    execv(program.c_str(), argv.data());
    _exit(127);
  }

  TemporaryFolder folder_;
  pid_t pid_ = -1;
};

inline Ended RunProgram(const std::vector<std::string>& arguments,
                        const Environment& environment = {}) {
  return Program(arguments, environment).Wait();
}

// Every cell file of a run, by id.
inline std::map<std::string, Json> CellsOf(const std::string& run) {
  std::map<std::string, Json> cells;
  std::error_code error;
  for (const auto& entry :
       std::filesystem::directory_iterator(run + "/cells", error)) {
    if (entry.path().extension() != ".json") continue;
    cells[entry.path().stem().string()] =
        Json::parse(FileText(entry.path().string()));
  }
  return cells;
}

inline std::map<std::string, int> CountStatus(
    const std::map<std::string, Json>& cells) {
  std::map<std::string, int> count;
  for (const auto& [id, cell] : cells) {
    ++count[cell["status"].get<std::string>()];
  }
  return count;
}

}  // namespace rattn
