#include "harness/machine.h"

#include <gtest/gtest.h>

#include "harness/process_memory.h"

namespace rattn {
namespace {

// As many bytes as no cache keeps a good part of, where memory has room.
TEST(Machine, ColdBytesAreManyCachesAndNoMoreThanAQuarterOfWhatIsFree) {
  const int64_t cache = LastLevelCacheBytes();
  EXPECT_GE(cache, int64_t{32} << 20);
  const int64_t free = AvailableMemory();
  const int64_t cold = ColdBytes();
  EXPECT_LE(cold, 16 * cache);
  // What is free moves between the two readings.
  if (free > 0) {
    EXPECT_LE(cold, free / 3);
  }
  if (free > 100 * cache) {
    EXPECT_EQ(cold, 16 * cache);
  }
}

}  // namespace
}  // namespace rattn
