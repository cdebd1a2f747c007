// What this processor can do at best: the ceilings that kernels are held
// against. Each call runs for about `seconds` on `threads` threads.
#pragma once

#include <cstdint>
#include <string>

namespace rattn {

// fp32 multiply-adds from registers, FLOP/s (2 per multiply-add).
double PeakFp32Flops(int threads, double seconds);

// bf16 products with fp32 sums, FLOP/s: AMX tiles where the processor and the
// system offer them, else AVX-512 BF16 dot products; 0 where there is neither
// (fp32 is then the best that bf16 data can get).
double PeakBf16Flops(int threads, double seconds);

// The same with the operands of AMX products in the L1 cache, one tile load per
// product as register blocks of 2 x 2 tiles need: what kernels can reach.
double PeakFedBf16Flops(int threads, double seconds);

// exp(x) of fp32 at about 1e-4 relative error (range reduction by floor, degree
// 4), per second: the rate that softmax can reach.
double PeakExps(int threads, double seconds);

// Bytes per second of reading `bytes` per thread again and again, in huge pages
// where the system gives them (as caches are).
double PeakReadBandwidth(int64_t bytes, int threads, double seconds);

}  // namespace rattn
