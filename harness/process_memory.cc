#include "harness/process_memory.h"

#include <fstream>
#include <string>

namespace rattn {
namespace {

int64_t BytesOf(const char* path, const std::string& key) {
  std::ifstream status(path);
  std::string word;
  while (status >> word) {
    int64_t kib = 0;
    if (word == key && status >> kib) return kib * 1024;
  }
  return 0;
}

}  // namespace

int64_t PeakMemory() { return BytesOf("/proc/self/status", "VmHWM:"); }
int64_t CurrentMemory() { return BytesOf("/proc/self/status", "VmRSS:"); }
int64_t AvailableMemory() { return BytesOf("/proc/meminfo", "MemAvailable:"); }

bool ResetPeakMemory() {
  std::ofstream file("/proc/self/clear_refs");
  file << "5" << std::flush;
  return file.good();
}

}  // namespace rattn
