// Facts about the machine and the build, recorded with every run.
#pragma once

#include <cstdint>
#include <string>

#include "models/json_fields.h"

namespace rattn {

// Of all its cores together; at least 32 MiB, also where the system does not
// tell.
int64_t LastLevelCacheBytes();

// Bytes to read round and round so that they come from memory: caches keep a
// part of a loop that is longer than they are (4x the cache read 18 % faster
// than 32x here), so sixteen times the cache; less where memory is short.
int64_t ColdBytes();

// As the system names the processor.
std::string CpuName();

// name, cpu, sockets, cores, threads, gpu, caches, isa (supported and in use),
// governor, load, memory, aslr, system, tuned_tiles (machine_tiles.h). Figures
// that the system does not tell are null.
Json MachineFacts();

// version, compiler, flags, type, git (commit, dirty; null outside a checkout),
// libraries.
Json BuildFacts();

}  // namespace rattn
