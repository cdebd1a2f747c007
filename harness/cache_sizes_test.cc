#include "harness/cache_sizes.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "harness/program_test_util.h"

namespace rattn {
namespace {

void Write(const std::filesystem::path& folder, const char* level,
           const char* type, const char* size, const std::string& shared) {
  std::filesystem::create_directories(folder);
  std::ofstream(folder / "level") << level << "\n";
  std::ofstream(folder / "type") << type << "\n";
  std::ofstream(folder / "size") << size << "\n";
  std::ofstream(folder / "shared_cpu_list") << shared << "\n";
}

// Four processors, in pairs that share a level-3 cache.
TEST(CacheSizes, SharedCachesCountOnce) {
  const TemporaryFolder folder;
  for (int cpu = 0; cpu < 4; ++cpu) {
    const std::filesystem::path caches =
        folder / ("cpu" + std::to_string(cpu) + "/cache");
    const std::string own = std::to_string(cpu);
    Write(caches / "index0", "1", "Data", "48K", own);
    Write(caches / "index1", "1", "Instruction", "64K", own);
    Write(caches / "index2", "2", "Unified", "1M", own);
    Write(caches / "index3", "3", "Unified", "32768K", cpu < 2 ? "0-1" : "2-3");
  }
  EXPECT_EQ(CachesOfLevel(1, folder.path()).one, 48 << 10);
  EXPECT_EQ(CachesOfLevel(2, folder.path()).all, 4 << 20);
  EXPECT_EQ(CachesOfLevel(3, folder.path()).one, 32 << 20);
  EXPECT_EQ(CachesOfLevel(3, folder.path()).all, 64 << 20);
}

TEST(CacheSizes, DamagedListsAreNotTaken) {
  const TemporaryFolder folder;
  const std::string path = folder / "cpu0/cache/index3";
  for (const char* size : {"", "K", "-4K", "12", "9000000000000000000K"}) {
    Write(path, "3", "Unified", size, "0");
    const CacheSizes taken = CachesOfLevel(3, folder.path());
    const CacheSizes absent = CachesOfLevel(3, "/nowhere");
    EXPECT_EQ(taken.all, absent.all) << size;
  }
}

}  // namespace
}  // namespace rattn
