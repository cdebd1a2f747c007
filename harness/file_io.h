// Files that are either whole or absent, and locks between processes.
#pragma once

#include <string>
#include <string_view>

namespace rattn {

// models/atomic_file.h for content in one piece.
void WriteFileAtomically(const std::string& path, std::string_view content);

// Makes the folder and its parents. Throws UserError if that is impossible or
// if nothing can be written into it.
void MakeWritableFolder(const std::string& path);

// Before long work whose result goes to the file that `flag` names (empty:
// none). Throws UserError if it is a folder or its folder cannot be written.
void CheckTargetFile(std::string_view flag, const std::string& path);

// What WriteFileAtomically of a killed process leaves behind.
void RemoveStaleTemporaries(const std::string& folder);

// An advisory lock (flock) that ends with its process, however that ends.
class FileLock {
 public:
  FileLock() = default;
  ~FileLock();
  FileLock(FileLock&& other) noexcept;
  FileLock& operator=(FileLock&& other) noexcept;

  // Waits for the lock. Throws RunError if the file cannot be made.
  static FileLock Wait(const std::string& path);
  // An unheld lock if another process holds it; `holder` then says which.
  static FileLock Try(const std::string& path, std::string* holder);
  bool held() const { return descriptor_ >= 0; }

 private:
  explicit FileLock(int descriptor) : descriptor_(descriptor) {}
  int descriptor_ = -1;
};

}  // namespace rattn
