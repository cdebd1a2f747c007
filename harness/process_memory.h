// Memory of this process and of the system, as the kernel counts it.
#pragma once

#include <cstdint>

namespace rattn {

// Largest resident bytes since the start or the last reset.
int64_t PeakMemory();
int64_t CurrentMemory();
// What the system could still give, MemAvailable; 0 if unknown.
int64_t AvailableMemory();
// Starts the count of PeakMemory anew; false where the system has no such
// thing (then the peak is that of the whole process).
bool ResetPeakMemory();

}  // namespace rattn
