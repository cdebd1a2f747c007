#include "harness/answer_journal.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <filesystem>

#include "harness/file_io.h"
#include "models/error.h"
#include "models/json_fields.h"
#include "models/text_lines.h"

namespace rattn {
namespace {

constexpr size_t kMostBytes = size_t{1} << 30;
constexpr size_t kKeyDigits = 64;
constexpr int64_t kLinesAtATime = 64;

// Null where it is none.
Json ParseObject(std::string_view line) {
  try {
    return ParseJsonText(line, "a line");
  } catch (const UserError&) {
    return nullptr;
  }
}

// Nothing for anything but a whole line of ours.
std::optional<std::pair<std::string, TextAnswer>> ParseLine(
    std::string_view line) {
  if (!line.starts_with("{\"key\":")) return std::nullopt;
  const Json json = ParseObject(line);
  if (!json.is_object()) return std::nullopt;
  const auto key = json.find("key");
  if (!key->is_string() ||
      key->get_ref<const std::string&>().size() != kKeyDigits) {
    return std::nullopt;
  }
  TextAnswer answer;
  const auto text = json.find("text");
  const auto sum = json.find("log_likelihood"), greedy = json.find("greedy");
  if (text != json.end() && text->is_string()) {
    answer.text = *text;
  } else if (sum != json.end() && sum->is_number() && greedy != json.end() &&
             greedy->is_boolean()) {
    answer.log_likelihood = *sum;
    answer.is_greedy = *greedy;
  } else {
    return std::nullopt;
  }
  if (!std::isfinite(answer.log_likelihood)) return std::nullopt;
  return std::pair(key->get<std::string>(), std::move(answer));
}

std::string LineOf(const std::string& key, const TextAnswer& answer) {
  Json json = {{"key", key}};
  if (answer.log_likelihood == 0 && !answer.is_greedy) {
    json["text"] = answer.text;
  } else {
    json["log_likelihood"] = answer.log_likelihood;
    json["greedy"] = answer.is_greedy;
  }
  return json.dump() + "\n";
}

}  // namespace

AnswerJournal::AnswerJournal(const std::string& path)
    : path_(path), flushed_(std::chrono::steady_clock::now()) {
  CheckTargetFile("--use-cache", path);
  descriptor_ =
      open(path.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (descriptor_ < 0) {
    throw UserError(fmt::format("cannot open the journal '{}': {}", path,
                                std::strerror(errno)));
  }
  Read();
}

AnswerJournal::~AnswerJournal() {
  try {
    Flush();
  } catch (const RunError&) {
    // Flush() has been called by those who care.
  }
  close(descriptor_);
}

void AnswerJournal::Read() {
  std::error_code none;
  if (std::filesystem::file_size(path_, none) > kMostBytes) {
    throw UserError(fmt::format(
        "the journal '{}' is beyond 1 GiB: delete it, or name another with "
        "--use-cache",
        path_));
  }
  const std::string file = ReadTextFile(path_, kMostBytes);
  ForEachLine(file, [&](std::string_view line, int64_t) {
    auto entry = ParseLine(line);
    if (entry) known_.insert(std::move(*entry));
  });
  // What follows must not become a part of a torn line.
  if (!file.empty() && file.back() != '\n') waiting_ = "\n";
}

std::optional<TextAnswer> AnswerJournal::Find(const std::string& key,
                                              const TextRequest&) {
  const auto at = known_.find(key);
  if (at == known_.end()) return std::nullopt;
  return at->second;
}

void AnswerJournal::Add(const std::string& key, const TextAnswer& answer) {
  if (!known_.emplace(key, answer).second) return;
  waiting_ += LineOf(key, answer);
  ++waiting_lines_;
  const auto now = std::chrono::steady_clock::now();
  if (waiting_lines_ >= kLinesAtATime ||
      now - flushed_ >= std::chrono::seconds(1)) {
    Flush();
  }
}

void AnswerJournal::Flush() {
  // One write a batch: processes that share the file do not mix their lines.
  std::string_view left =
      waiting_lines_ > 0 ? std::string_view(waiting_) : std::string_view();
  while (!left.empty()) {
    const ssize_t n = write(descriptor_, left.data(), left.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) {
      throw RunError(fmt::format("cannot write the journal '{}': {}", path_,
                                 std::strerror(errno)));
    }
    left.remove_prefix(static_cast<size_t>(n));
  }
  if (waiting_lines_ > 0) {
    fdatasync(descriptor_);
    waiting_.clear();
    waiting_lines_ = 0;
  }
  flushed_ = std::chrono::steady_clock::now();
}

}  // namespace rattn
