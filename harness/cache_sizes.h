// Sizes of the processor's caches, in bytes.
#pragma once

#include <cstdint>
#include <string>

namespace rattn {

struct CacheSizes {
  int64_t one = 0;  // of a single cache; 0 if unknown
  int64_t all = 0;  // of those that the system's processors share, together
};

// Of the data or unified caches of a level, as the kernel lists them below
// `folder`. Where it lists none, what sysconf says: in virtual machines that
// can be the host's figure (384 MiB where a slice of 32 MiB is in reach).
CacheSizes CachesOfLevel(int level,
                         const std::string& folder = "/sys/devices/system/cpu");

}  // namespace rattn
