// Bursts of bf16 products on the processor's own instructions for them.
#pragma once

namespace rattn {

// Whether this processor and system have AMX or AVX-512 BF16.
bool HasBf16Products();
// FLOPs done; call only if HasBf16Products().
double Bf16Products(float* sum);
// The same, AMX operands loaded from the L1 cache.
double FedBf16Products(float* sum);

}  // namespace rattn
