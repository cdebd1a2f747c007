// Caches in the memory of a device that host code cannot touch.
#include <gtest/gtest.h>

#include "kernels/cuda/host/extend_test_cases.h"
#include "kernels/cuda/host/fake_device.h"

namespace rattn::cuda {
namespace {

Problem SmallProblem(const char* variant, int64_t window, int64_t tokens) {
  Problem problem;
  problem.spec = TestSpec(*FindVariant(variant), window);
  problem.phase = Phase::kExtend;
  problem.dtype = Dtype::kBF16;
  problem.shape = MakeShape(2, 4, 2, tokens, tokens, 8, 8);
  problem.positions.rope = true;
  return problem;
}

class DeviceCache : public testing::Test {
 protected:
  DeviceCache() : backend_(MakeFakeCudaBackend()) {}
  ~DeviceCache() override {
    EXPECT_EQ(Device().findings.Text(), "");
    EXPECT_EQ(Device().allocations(), 0u);
  }
  static FakeDevice& Device() { return FakeDevice::Get(); }

  std::unique_ptr<const Backend> backend_;
};

TEST_F(DeviceCache, IsClosedToTheHost) {
  const Problem problem = SmallProblem("rattention", 4, 1);
  const KvCache cache(problem, false, backend_->cache_allocator());
  EXPECT_TRUE(Device().Owns(cache.Key(1, 1, 3)));
  EXPECT_TRUE(Device().Owns(cache.state().data));
  EXPECT_DEATH(cache.state().Set(0, 0, 0, 0, 1), "");
}

// Every variant, with rings, sinks, states and pages, by the kernels executed
// on the CPU: the same bits as on a cache of the host.
TEST_F(DeviceCache, GivesWhatACacheOfTheHostGives) {
  for (const Variant& variant : Catalog()) {
    SCOPED_TRACE(variant.name);
    const Problem problem = SmallProblem(variant.name.data(), 3, 11);
    const TestOptions options = {.norms = false};
    TestTensors on_host(problem, options, 5), on_device(problem, options, 5);
    const Pieces pieces = {3, 1, 1};
    const HostBackend host(&Device().findings);
    const KvCache want =
        RunExtend(host, problem, on_host.buffers, pieces, false);
    const KvCache got =
        RunExtend(*backend_, problem, on_device.buffers, pieces, false);
    EXPECT_EQ(Values(on_device.buffers.o), Values(on_host.buffers.o));
    EXPECT_EQ(Values(got.state()), Values(want.state()));
    EXPECT_EQ(got.length(), want.length());
    ExpectSameValues(problem, got, want);
  }
}

// One token of random q, k and v on a cache of `backend`.
std::vector<double> Decode(const Backend& backend, const Problem& problem,
                           uint64_t seed, KvCache* cache) {
  Problem step = problem;
  step.phase = Phase::kDecode;
  step.shape.query_len = step.shape.key_len = 1;
  TestTensors tensors(step, {}, seed);
  cache->Reserve(1);
  backend.Extend(step, tensors.buffers, *cache, {});
  return Values(tensors.buffers.o);
}

TEST_F(DeviceCache, CopiesAreSnapshotsOnTheDevice) {
  for (const char* variant : {"full", "rattention"}) {
    SCOPED_TRACE(variant);
    const Problem problem = SmallProblem(variant, 4, 1);
    const auto decode = [&](uint64_t seed, KvCache* cache) {
      return Decode(*backend_, problem, seed, cache);
    };
    KvCache cache(problem, false, backend_->cache_allocator());
    KvCache alone(problem, false, backend_->cache_allocator());
    for (KvCache* both : {&cache, &alone}) decode(1, both);
    KvCache fork = cache;
    EXPECT_TRUE(Device().Owns(fork.Key(0, 0, 0)));
    // Into the same slot, whose page and state are not the other's.
    for (KvCache* both : {&cache, &alone}) decode(2, both);
    decode(3, &fork);
    EXPECT_EQ(decode(4, &cache), decode(4, &alone));
    EXPECT_NE(decode(4, &fork), decode(4, &alone));
  }
}

TEST_F(DeviceCache, MovesResetsAndForgets) {
  const Problem problem = SmallProblem("rattention", 2, 1);
  KvCache cache(problem, false, backend_->cache_allocator());
  const auto first = Decode(*backend_, problem, 1, &cache);
  for (uint64_t seed = 2; seed < 7; ++seed) {
    Decode(*backend_, problem, seed, &cache);
  }
  KvCache host = cache;
  host.MoveTo(HostAllocator());
  EXPECT_FALSE(Device().Owns(host.Key(0, 0, 5)));
  EXPECT_NE(host.state().Get(1, 1, 2, 3), 0);
  host.MoveTo(backend_->cache_allocator());
  EXPECT_EQ(Decode(*backend_, problem, 9, &host),
            Decode(*backend_, problem, 9, &cache));
  cache.Reset();
  EXPECT_EQ(Decode(*backend_, problem, 1, &cache), first);
}

// Pages come one by one; the list that the kernels follow grows with them.
TEST_F(DeviceCache, GrowsPageByPage) {
  Problem problem = SmallProblem("full", 0, 3 * kPageTokens + 7);
  problem.shape =
      MakeShape(1, 1, 1, 3 * kPageTokens + 7, 3 * kPageTokens + 7, 8, 8);
  TestTensors tensors(problem, {}, 5);
  const HostBackend host(&Device().findings);
  TestTensors expected(problem, {}, 5);
  const Pieces pieces = {kPageTokens - 2, 1, 1, 1};
  RunExtend(host, problem, expected.buffers, pieces, false);
  RunExtend(*backend_, problem, tensors.buffers, pieces, false);
  EXPECT_EQ(Values(tensors.buffers.o), Values(expected.buffers.o));
}

TEST_F(DeviceCache, ADeviceThatIsFullThrows) {
  Problem problem = SmallProblem("full", 0, 1);
  problem.shape.head_dim = problem.shape.value_dim = 256;
  KvCache cache(problem, false, backend_->cache_allocator());
  cache.Reserve(kPageTokens);
  EXPECT_THROW(cache.Reserve(int64_t{1} << 20), std::bad_alloc);
  EXPECT_EQ(cache.page_count(), 1);
  EXPECT_TRUE(Device().Owns(cache.Key(0, 0, 0)));
}

}  // namespace
}  // namespace rattn::cuda
