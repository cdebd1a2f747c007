// The random streams of CPython's random.Random and NumPy's legacy
// RandomState, bit for bit: prompts of other harnesses are drawn from them.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace rattn {

// MT19937 (Matsumoto and Nishimura 1998).
class MersenneTwister {
 public:
  // init_genrand (numpy.random.seed) or init_by_array with one or more keys.
  static MersenneTwister FromSeed(uint32_t seed);
  static MersenneTwister FromKey(const std::vector<uint32_t>& key);
  uint32_t Next();

 private:
  MersenneTwister() = default;
  std::array<uint32_t, 624> state_;
  size_t index_ = 624;
};

// random.Random(seed), CPython 3.9 and later.
class PythonRandom {
 public:
  explicit PythonRandom(uint64_t seed);
  double Random();                        // [0, 1), 53 bits
  uint64_t Bits(int k);                   // getrandbits, 0 <= k <= 64
  std::vector<uint32_t> BitWords(int k);  // of any k, least word first
  std::string Uuid4();         // str(UUID(int=getrandbits(128), version=4))
  uint64_t Below(uint64_t n);  // _randbelow, n > 0
  int64_t RandInt(int64_t a, int64_t b);  // inclusive; b - a + 1 < 2^64
  // sample(range(n), k), k <= n.
  std::vector<size_t> SampleIndices(size_t n, size_t k);
  // choices(range(n), k), n > 0.
  std::vector<size_t> ChoiceIndices(size_t n, size_t k);
  template <typename T>
  void Shuffle(std::vector<T>* items) {
    for (size_t i = items->size(); i-- > 1;) {
      std::swap((*items)[i], (*items)[Below(i + 1)]);
    }
  }

 private:
  MersenneTwister words_;
};

// numpy.random.seed(seed) and what follows of it.
class NumpyRandom {
 public:
  explicit NumpyRandom(uint32_t seed);
  int64_t RandInt(int64_t low, int64_t high);  // [low, high), int64 default

 private:
  MersenneTwister words_;
};

}  // namespace rattn
