// Answers of models on disk, so that a killed evaluation goes on where it was:
// a file of JSON lines to which lines are only ever added.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <unordered_map>

#include "tasks/files/run_text_task.h"

namespace rattn {

// A line is {"key": RequestKey, "log_likelihood", "greedy"} or {"key", "text"}.
// Lines that are no such object, as a killed writer leaves them, are ignored.
// Several processes may add to one file at a time.
class AnswerJournal : public AnswerStore {
 public:
  // Makes the file and its folder. Throws UserError where that is impossible
  // and for files beyond 1 GiB.
  explicit AnswerJournal(const std::string& path);
  ~AnswerJournal() override;
  AnswerJournal(const AnswerJournal&) = delete;
  AnswerJournal& operator=(const AnswerJournal&) = delete;

  std::optional<TextAnswer> Find(const std::string& key,
                                 const TextRequest& request) override;
  // On the disk within a second or so of further calls, or with Flush().
  void Add(const std::string& key, const TextAnswer& answer) override;
  // Throws RunError.
  void Flush();

  const std::string& path() const { return path_; }
  size_t size() const { return known_.size(); }

 private:
  void Read();

  std::string path_;
  int descriptor_ = -1;
  std::unordered_map<std::string, TextAnswer> known_;
  std::string waiting_;
  int64_t waiting_lines_ = 0;
  std::chrono::steady_clock::time_point flushed_;
};

}  // namespace rattn
