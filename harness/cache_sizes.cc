#include "harness/cache_sizes.h"

#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <map>

namespace rattn {
namespace {

namespace fs = std::filesystem;

std::string FirstLine(const fs::path& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

// "32768K" or "1M"; 0 for anything else.
int64_t Bytes(const std::string& text) {
  int64_t number = 0;
  const char* end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, number);
  constexpr int64_t kMost = int64_t{1} << 30;  // any real one, also in KiB
  if (error != std::errc() || rest == end || number < 1 || number > kMost) {
    return 0;
  }
  return *rest == 'K' ? number << 10 : *rest == 'M' ? number << 20 : 0;
}

// By the processors that share one.
std::map<std::string, int64_t> Listed(int level, const std::string& folder) {
  std::map<std::string, int64_t> sizes;
  std::error_code none;
  for (const auto& cpu : fs::directory_iterator(folder, none)) {
    for (const auto& cache :
         fs::directory_iterator(cpu.path() / "cache", none)) {
      const fs::path& path = cache.path();
      if (FirstLine(path / "level") != std::to_string(level)) continue;
      if (FirstLine(path / "type") == "Instruction") continue;
      const int64_t bytes = Bytes(FirstLine(path / "size"));
      if (bytes > 0) sizes[FirstLine(path / "shared_cpu_list")] = bytes;
    }
  }
  return sizes;
}

int64_t Sysconf(int level) {
  const int key = level == 1   ? _SC_LEVEL1_DCACHE_SIZE
                  : level == 2 ? _SC_LEVEL2_CACHE_SIZE
                               : _SC_LEVEL3_CACHE_SIZE;
  return std::max(sysconf(key), 0L);
}

}  // namespace

CacheSizes CachesOfLevel(int level, const std::string& folder) {
  CacheSizes sizes;
  for (const auto& [shared, bytes] : Listed(level, folder)) {
    sizes.one = std::max(sizes.one, bytes);
    sizes.all += bytes;
  }
  if (sizes.one == 0) sizes.one = sizes.all = Sysconf(level);
  return sizes;
}

}  // namespace rattn
