#include "models/atomic_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

#include "models/error.h"

namespace rattn {
namespace {

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }

 private:
  int fd_;
};

bool WriteAll(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(fd, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return false;
    bytes.remove_prefix(static_cast<size_t>(written));
  }
  return true;
}

bool WriteAndFlush(const std::string& path,
                   std::span<const std::string_view> pieces) {
  const Descriptor file(
      ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
  if (file.get() < 0) return false;
  for (std::string_view piece : pieces) {
    if (!WriteAll(file.get(), piece)) return false;
  }
  return ::fsync(file.get()) == 0;
}

}  // namespace

void WriteFileAtomically(const std::string& path,
                         std::span<const std::string_view> pieces) {
  // The process id keeps two writers of one path apart.
  const std::string temporary = fmt::format("{}.{}.tmp", path, ::getpid());
  if (!WriteAndFlush(temporary, pieces) ||
      ::rename(temporary.c_str(), path.c_str()) != 0) {
    const int error = errno;
    ::unlink(temporary.c_str());
    throw RunError(
        fmt::format("cannot write {}: {}", path, std::strerror(error)));
  }
  const std::filesystem::path folder =
      std::filesystem::absolute(path).parent_path();
  const Descriptor parent(::open(folder.c_str(), O_RDONLY | O_CLOEXEC));
  // The file is complete either way; only the rename could be lost in a crash.
  if (parent.get() >= 0) ::fsync(parent.get());
}

}  // namespace rattn
