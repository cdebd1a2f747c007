#include "harness/file_io.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <span>
#include <utility>

#include "models/atomic_file.h"
#include "models/error.h"

namespace rattn {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void ThrowWrite(const std::string& path, int error) {
  throw RunError(
      fmt::format("cannot write '{}': {}", path, std::strerror(error)));
}

bool WriteAll(int descriptor, std::string_view content) {
  while (!content.empty()) {
    const ssize_t n = write(descriptor, content.data(), content.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    content.remove_prefix(static_cast<size_t>(n));
  }
  return true;
}

int OpenLock(const std::string& path) {
  const int descriptor = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (descriptor < 0) ThrowWrite(path, errno);
  return descriptor;
}

}  // namespace

void WriteFileAtomically(const std::string& path, std::string_view content) {
  WriteFileAtomically(path, std::span(&content, 1));
}

void MakeWritableFolder(const std::string& path) {
  std::error_code error;
  fs::create_directories(path, error);
  if (error) {
    throw UserError(
        fmt::format("cannot make folder '{}': {}", path, error.message()));
  }
  // Permission bits say little about read-only or full file systems.
  try {
    const std::string probe = (fs::path(path) / ".writable").string();
    WriteFileAtomically(probe, "");
    unlink(probe.c_str());
  } catch (const RunError&) {
    throw UserError(fmt::format("folder '{}' is not writable: {}", path,
                                std::strerror(errno)));
  }
}

void CheckTargetFile(std::string_view flag, const std::string& path) {
  if (path.empty()) return;
  if (fs::is_directory(path)) {
    throw UserError(
        fmt::format("{} '{}' is a folder: name a file in it", flag, path));
  }
  const fs::path folder = fs::path(path).parent_path();
  MakeWritableFolder(folder.empty() ? "." : folder.string());
}

void RemoveStaleTemporaries(const std::string& folder) {
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    if (entry.path().extension() == ".tmp") {
      fs::remove(entry.path(), error);
    }
  }
}

FileLock::~FileLock() {
  if (descriptor_ >= 0) close(descriptor_);
}

FileLock::FileLock(FileLock&& other) noexcept
    : descriptor_(std::exchange(other.descriptor_, -1)) {}

FileLock& FileLock::operator=(FileLock&& other) noexcept {
  std::swap(descriptor_, other.descriptor_);
  return *this;
}

FileLock FileLock::Wait(const std::string& path) {
  FileLock lock(OpenLock(path));
  while (flock(lock.descriptor_, LOCK_EX) != 0) {
    if (errno != EINTR) ThrowWrite(path, errno);
  }
  return lock;
}

FileLock FileLock::Try(const std::string& path, std::string* holder) {
  FileLock lock(OpenLock(path));
  if (flock(lock.descriptor_, LOCK_EX | LOCK_NB) != 0) {
    char text[64] = {};
    const ssize_t n = pread(lock.descriptor_, text, sizeof(text) - 1, 0);
    *holder = n > 0 ? fmt::format("process {}", text) : "another process";
    return FileLock();
  }
  const std::string self = std::to_string(getpid());
  if (ftruncate(lock.descriptor_, 0) != 0 ||
      !WriteAll(lock.descriptor_, self)) {
    ThrowWrite(path, errno);
  }
  return lock;
}

}  // namespace rattn
