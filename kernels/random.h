// Counter-based random numbers (Philox4x32-10, Salmon et al., SC11): value i
// of stream (seed, stream) is a pure function, so results depend neither on
// the order of use nor on the thread count.
#pragma once

#include <array>
#include <cmath>
#include <cstdint>

namespace rattn {

class Philox {
 public:
  Philox(uint64_t seed, uint64_t stream) : seed_(seed), stream_(stream) {}

  // 128 random bits for counter value `index`.
  std::array<uint32_t, 4> Block(uint64_t index) const {
    std::array<uint32_t, 4> c = {
        static_cast<uint32_t>(index), static_cast<uint32_t>(index >> 32),
        static_cast<uint32_t>(stream_), static_cast<uint32_t>(stream_ >> 32)};
    uint32_t k0 = static_cast<uint32_t>(seed_);
    uint32_t k1 = static_cast<uint32_t>(seed_ >> 32);
    for (int round = 0; round < 10; ++round) {
      const uint64_t p0 = uint64_t{0xD2511F53u} * c[0];
      const uint64_t p1 = uint64_t{0xCD9E8D57u} * c[2];
      c = {static_cast<uint32_t>(p1 >> 32) ^ c[1] ^ k0,
           static_cast<uint32_t>(p1),
           static_cast<uint32_t>(p0 >> 32) ^ c[3] ^ k1,
           static_cast<uint32_t>(p0)};
      k0 += 0x9E3779B9u;
      k1 += 0xBB67AE85u;
    }
    return c;
  }
  uint64_t Bits(uint64_t index) const {
    const auto c = Block(index);
    return (uint64_t{c[1]} << 32) | c[0];
  }
  // Uniform in [0, 1).
  double Uniform(uint64_t index) const {
    return static_cast<double>(Bits(index) >> 11) * 0x1.0p-53;
  }
  // Standard normal (Box-Muller on one block).
  double Normal(uint64_t index) const {
    const auto c = Block(index);
    const double u1 = (static_cast<double>(c[0]) + 0.5) * 0x1.0p-32;
    const double u2 = static_cast<double>(c[1]) * 0x1.0p-32;
    return std::sqrt(-2.0 * std::log(u1)) * std::cos(6.283185307179586 * u2);
  }

 private:
  uint64_t seed_;
  uint64_t stream_;
};

// A sequence of draws from one Philox stream, for generators that draw a
// varying number of values. Satisfies UniformRandomBitGenerator.
class PhiloxSequence {
 public:
  using result_type = uint64_t;
  PhiloxSequence(uint64_t seed, uint64_t stream) : philox_(seed, stream) {}
  static constexpr uint64_t min() { return 0; }
  static constexpr uint64_t max() { return ~uint64_t{0}; }
  uint64_t operator()() { return philox_.Bits(next_++); }
  // Uniform in [0, n), without modulo bias for n far below 2^64.
  uint64_t Below(uint64_t n) {
    return static_cast<uint64_t>(
        (static_cast<unsigned __int128>((*this)()) * n) >> 64);
  }
  double Uniform() { return philox_.Uniform(next_++); }

 private:
  Philox philox_;
  uint64_t next_ = 0;
};

}  // namespace rattn
