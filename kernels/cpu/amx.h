// The tile registers of x86 processors with AMX (Sapphire Rapids and later).
#pragma once

namespace rattn {

// Whether this processor and system have AMX with bf16 products, and AVX-512
// with bf16 conversions beside it. Asks Linux for the tile registers once.
bool HasAmx();
bool HasAvx512Bf16();

// While it lives, this thread's eight tile registers are 16 rows of 64 bytes.
// Requires HasAmx(). Threads that enter kernels keep one for the whole
// parallel region: configured tiles cost power, configuring them time.
class AmxTiles {
 public:
  AmxTiles();
  ~AmxTiles();
  AmxTiles(const AmxTiles&) = delete;
  AmxTiles& operator=(const AmxTiles&) = delete;
};

}  // namespace rattn
