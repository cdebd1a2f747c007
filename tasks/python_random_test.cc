#include "tasks/python_random.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>
#include <stdexcept>
#include <string>
#include <vector>

#include "models/shared_test_util.h"

namespace rattn {
namespace {

using ::testing::ElementsAre;

std::vector<int> Shuffled(PythonRandom* random, int n) {
  std::vector<int> items(n);
  std::iota(items.begin(), items.end(), 0);
  random->Shuffle(&items);
  return items;
}

// Words as hexadecimal digits without leading zeros, as Python prints them.
std::string Hex(const std::vector<uint32_t>& words) {
  std::string text;
  for (size_t i = words.size(); i-- > 0;) {
    text += fmt::format("{:08x}", words[i]);
  }
  text.erase(0, std::min(text.find_first_not_of('0'), text.size() - 1));
  return text;
}

// Constants below are what CPython 3.11 and NumPy 2.4 print.
TEST(PythonRandomTest, OneStreamOfCallsEqualsPythons) {
  PythonRandom random(42);
  EXPECT_EQ(random.Bits(32), 2746317213u);
  EXPECT_EQ(random.Bits(32), 478163327u);
  EXPECT_EQ(random.Bits(32), 107420369u);
  EXPECT_EQ(random.Random(), 0x1.7bac81d19a149p-1);
  EXPECT_EQ(random.Bits(5), 7u);
  EXPECT_EQ(random.Bits(64), 0x23b8c1e9392456deu);
  EXPECT_EQ(Hex(random.BitWords(100)), "bad3c2d6d1a3d1fa7bc8960a9");
  EXPECT_EQ(random.Uuid4(), "972a8469-1641-4f82-8b9d-2434e465e150");
  EXPECT_EQ(random.RandInt(1000000, 9999999), 8078673);
  EXPECT_THAT(random.ChoiceIndices(26, 5), ElementsAre(0, 2, 6, 15, 14));
  EXPECT_THAT(random.SampleIndices(40, 4), ElementsAre(34, 26, 14, 28));
  std::vector<size_t> sample = random.SampleIndices(100, 30);
  sample.resize(8);
  EXPECT_THAT(sample, ElementsAre(75, 35, 0, 20, 89, 54, 43, 98));
  EXPECT_THAT(Shuffled(&random, 10), ElementsAre(7, 2, 5, 8, 6, 1, 9, 4, 3, 0));
}

TEST(PythonRandomTest, SeedsOfOneAndTwoWords) {
  EXPECT_EQ(PythonRandom(0).Bits(32), 3626764237u);
  PythonRandom random((uint64_t{1} << 40) + 7);
  EXPECT_EQ(random.Bits(32), 2635837658u);
  const int64_t far = int64_t{1} << 62;
  EXPECT_EQ(random.RandInt(-far, far), 4167564043451751811);
}

TEST(PythonRandomTest, FewShotDrawsOfSeed1234) {
  EXPECT_THAT(PythonRandom(1234).SampleIndices(7473, 8),
              ElementsAre(6374, 3610, 957, 61, 742, 7462, 6610, 4769));
  EXPECT_THAT(PythonRandom(1234).SampleIndices(5, 5),
              ElementsAre(3, 0, 4, 2, 1));
}

TEST(PythonRandomTest, ImpossibleRequestsThrow) {
  PythonRandom random(1);
  EXPECT_THROW(random.SampleIndices(3, 4), std::invalid_argument);
  EXPECT_THROW(random.Below(0), std::invalid_argument);
  EXPECT_THROW(random.RandInt(2, 1), std::invalid_argument);
  EXPECT_THROW(random.Bits(65), std::invalid_argument);
  EXPECT_THROW(NumpyRandom(1).RandInt(5, 5), std::invalid_argument);
  EXPECT_THROW(MersenneTwister::FromKey({}), std::invalid_argument);
}

TEST(NumpyRandomTest, OneStreamOfCallsEqualsNumpys) {
  NumpyRandom random(42);
  for (const int64_t value : {25795, 10860, 86820, 64886, 16265}) {
    EXPECT_EQ(random.RandInt(10000, 99999), value);
  }
  EXPECT_EQ(random.RandInt(0, int64_t{1} << 40), 902372521174);
  EXPECT_EQ(random.RandInt(INT64_MIN, INT64_MAX), -8151918526507952694);
  EXPECT_EQ(random.RandInt(0, int64_t{1} << 32), 3720198231);
  EXPECT_EQ(random.RandInt(5, 6), 5);
  EXPECT_EQ(random.RandInt(0, (int64_t{1} << 32) + 5), 2581769315);
  EXPECT_EQ(random.RandInt(0, 100), 23);
}

int64_t Integer(const Json& value) {
  return value.is_string() ? std::stoll(value.get<std::string>())
                           : value.get<int64_t>();
}

std::string RandIntText(PythonRandom* random, const Json& args) {
  if (!args["b"].is_number_float()) {
    return std::to_string(
        random->RandInt(Integer(args["a"]), Integer(args["b"])));
  }
  // 2^64, which JSON readers take for a float: more than RandInt takes.
  std::vector<uint32_t> words;
  do {
    words = random->BitWords(65);
  } while (words[2] && (words[0] || words[1]));
  return words[2] ? "18446744073709551616"
                  : std::to_string(uint64_t{words[1]} << 32 | words[0]);
}

Json Call(PythonRandom* random, const std::string& op, const Json& args) {
  const auto size = [&](const char* key) { return args[key].get<size_t>(); };
  if (op == "getrandbits") return Hex(random->BitWords(args["k"].get<int>()));
  if (op == "choices") return random->ChoiceIndices(size("n"), size("k"));
  if (op == "choice") return random->Below(size("n"));
  if (op == "sample") return random->SampleIndices(size("n"), size("k"));
  if (op == "uuid4") return random->Uuid4();
  if (op == "shuffle") return Shuffled(random, args["n"].get<int>());
  if (op == "randint") return RandIntText(random, args);
  return nullptr;
}

TEST(PythonRandomTest, SharedVectors) {
  RATTN_SHARED_OR_SKIP(path, "data/ruler/rng_vectors.json");
  const Json vectors = SharedJson(path)["python"];
  PythonRandom random(42);
  for (const Json& call : vectors["calls"]) {
    SCOPED_TRACE(call["i"].dump());
    if (call["op"] == "random") {
      EXPECT_EQ(random.Random(), std::stod(call["result"].get<std::string>()));
      continue;
    }
    EXPECT_EQ(Call(&random, call["op"], call["args"]), call["result"]);
  }
  for (const auto& [n, shuffled] : vectors["fresh_shuffles"]["by_n"].items()) {
    PythonRandom fresh(42);
    EXPECT_EQ(Json(Shuffled(&fresh, std::stoi(n))), shuffled) << n;
  }
  for (const int seed : {42, 43}) {
    PythonRandom words(seed);
    for (const Json& word : vectors[fmt::format("first_words_seed{}", seed)]) {
      EXPECT_EQ(words.Bits(32), word.get<uint64_t>());
    }
  }
}

TEST(NumpyRandomTest, SharedVectors) {
  RATTN_SHARED_OR_SKIP(path, "data/ruler/rng_vectors.json");
  NumpyRandom random(42);
  const Json calls = SharedJson(path)["numpy"]["calls"];
  EXPECT_EQ(calls.size(), 100u);
  for (const Json& call : calls) {
    const Json& args = call["args"];
    EXPECT_EQ(
        random.RandInt(Integer(args["low"]), Integer(args["high_exclusive"])),
        Integer(call["result"]))
        << call["i"];
  }
}

}  // namespace
}  // namespace rattn
