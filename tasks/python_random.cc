#include "tasks/python_random.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <limits>
#include <numeric>
#include <stdexcept>
#include <unordered_set>

namespace rattn {
namespace {

constexpr size_t kWords = 624;
constexpr size_t kMiddle = 397;

std::vector<uint32_t> KeyOf(uint64_t seed) {
  std::vector<uint32_t> key = {static_cast<uint32_t>(seed)};
  if (seed >> 32) key.push_back(static_cast<uint32_t>(seed >> 32));
  return key;
}

// Where random.sample keeps a set of what it drew instead of a pool of what
// is left: lists longer than this.
size_t LargestPool(size_t k) {
  size_t size = 21;
  if (k > 5) {
    size_t power = 1;
    while (power < 3 * k) power *= 4;
    size += power;
  }
  return size;
}

void Require(bool holds, const char* what) {
  if (!holds) throw std::invalid_argument(what);
}

}  // namespace

MersenneTwister MersenneTwister::FromSeed(uint32_t seed) {
  MersenneTwister result;
  result.state_[0] = seed;
  for (size_t i = 1; i < kWords; ++i) {
    const uint32_t last = result.state_[i - 1];
    result.state_[i] =
        1812433253u * (last ^ (last >> 30)) + static_cast<uint32_t>(i);
  }
  return result;
}

MersenneTwister MersenneTwister::FromKey(const std::vector<uint32_t>& key) {
  Require(!key.empty(), "a Mersenne Twister needs a key of at least one word");
  MersenneTwister result = FromSeed(19650218u);
  auto& state = result.state_;
  size_t i = 1;
  const auto mix = [&](uint32_t factor) {
    const uint32_t last = state[i - 1];
    state[i] ^= (last ^ (last >> 30)) * factor;
  };
  const auto step = [&] {
    if (++i < kWords) return;
    state[0] = state[kWords - 1];
    i = 1;
  };
  size_t j = 0;
  for (size_t left = std::max(kWords, key.size()); left > 0; --left) {
    mix(1664525u);
    state[i] += key[j] + static_cast<uint32_t>(j);
    step();
    j = (j + 1) % key.size();
  }
  for (size_t left = kWords - 1; left > 0; --left) {
    mix(1566083941u);
    state[i] -= static_cast<uint32_t>(i);
    step();
  }
  state[0] = 0x80000000u;
  return result;
}

uint32_t MersenneTwister::Next() {
  if (index_ == kWords) {
    for (size_t i = 0; i < kWords; ++i) {
      const uint32_t y =
          (state_[i] & 0x80000000u) | (state_[(i + 1) % kWords] & 0x7fffffffu);
      state_[i] = state_[(i + kMiddle) % kWords] ^ (y >> 1) ^
                  ((y & 1) ? 0x9908b0dfu : 0u);
    }
    index_ = 0;
  }
  uint32_t y = state_[index_++];
  y ^= y >> 11;
  y ^= (y << 7) & 0x9d2c5680u;
  y ^= (y << 15) & 0xefc60000u;
  return y ^ (y >> 18);
}

PythonRandom::PythonRandom(uint64_t seed)
    : words_(MersenneTwister::FromKey(KeyOf(seed))) {}

double PythonRandom::Random() {
  const uint32_t a = words_.Next() >> 5;
  const uint32_t b = words_.Next() >> 6;
  return (a * 67108864.0 + b) * (1.0 / 9007199254740992.0);
}

std::vector<uint32_t> PythonRandom::BitWords(int k) {
  Require(k >= 0, "getrandbits of a negative number of bits");
  std::vector<uint32_t> words;
  for (; k > 0; k -= 32) {
    words.push_back(words_.Next() >> (k < 32 ? 32 - k : 0));
  }
  return words;
}

uint64_t PythonRandom::Bits(int k) {
  Require(k >= 0 && k <= 64, "Bits gives at most 64 bits");
  uint64_t result = 0;
  for (int done = 0; done < k; done += 32) {
    const int left = k - done;
    const uint64_t word = words_.Next() >> (left < 32 ? 32 - left : 0);
    result |= word << done;
  }
  return result;
}

std::string PythonRandom::Uuid4() {
  const uint64_t low = Bits(64);
  const uint64_t high = Bits(64);
  return fmt::format("{:08x}-{:04x}-{:04x}-{:04x}-{:012x}", high >> 32,
                     high >> 16 & 0xffff, (high & 0xfff) | 0x4000,
                     (low >> 48 & 0x3fff) | 0x8000, low & 0xffffffffffff);
}

uint64_t PythonRandom::Below(uint64_t n) {
  Require(n > 0, "no number is below 0");
  const int k = std::bit_width(n);
  uint64_t drawn = Bits(k);
  while (drawn >= n) drawn = Bits(k);
  return drawn;
}

int64_t PythonRandom::RandInt(int64_t a, int64_t b) {
  Require(a <= b, "randint of an empty range");
  const uint64_t span = static_cast<uint64_t>(b) - static_cast<uint64_t>(a);
  return static_cast<int64_t>(static_cast<uint64_t>(a) + Below(span + 1));
}

std::vector<size_t> PythonRandom::SampleIndices(size_t n, size_t k) {
  Require(k <= n, "sample larger than population");
  std::vector<size_t> result;
  result.reserve(k);
  if (n <= LargestPool(k)) {
    std::vector<size_t> pool(n);
    std::iota(pool.begin(), pool.end(), size_t{0});
    for (size_t i = 0; i < k; ++i) {
      const size_t j = Below(n - i);
      result.push_back(pool[j]);
      pool[j] = pool[n - i - 1];
    }
    return result;
  }
  std::unordered_set<size_t> drawn;
  drawn.reserve(k);
  while (result.size() < k) {
    const size_t j = Below(n);
    if (drawn.insert(j).second) result.push_back(j);
  }
  return result;
}

std::vector<size_t> PythonRandom::ChoiceIndices(size_t n, size_t k) {
  Require(n > 0, "choices of nothing");
  std::vector<size_t> result(k);
  for (size_t& index : result) {
    index = static_cast<size_t>(Random() * static_cast<double>(n));
  }
  return result;
}

NumpyRandom::NumpyRandom(uint32_t seed)
    : words_(MersenneTwister::FromSeed(seed)) {}

int64_t NumpyRandom::RandInt(int64_t low, int64_t high) {
  Require(low < high, "randint of an empty range");
  const uint64_t largest =
      static_cast<uint64_t>(high) - static_cast<uint64_t>(low) - 1;
  if (largest == 0) return low;
  const uint64_t mask =
      std::numeric_limits<uint64_t>::max() >> std::countl_zero(largest);
  const bool wide = largest > std::numeric_limits<uint32_t>::max();
  uint64_t drawn;
  do {
    drawn = words_.Next();
    // The high word comes first, unlike in getrandbits.
    if (wide) drawn = drawn << 32 | words_.Next();
    drawn &= mask;
  } while (drawn > largest);
  return static_cast<int64_t>(static_cast<uint64_t>(low) + drawn);
}

}  // namespace rattn
