#include "kernels/kv_cache.h"

#include <gtest/gtest.h>

#include <new>

#include "kernels/test_tensors.h"
#include "kernels/window.h"

namespace rattn {
namespace {

Problem MakeProblem(const Variant& variant, int64_t window) {
  Problem p;
  p.spec = TestSpec(variant, window);
  p.shape = {.batch = 2, .query_heads = 4, .kv_heads = 2};
  return p;
}

float& At(void* row) { return *static_cast<float*>(row); }

float Mark(int64_t b, int64_t h, int64_t t) {
  return static_cast<float>(1000 * b + 500 * h + t);
}

// Writes the token's number into its rows, as a kernel would.
void Push(KvCache* cache) {
  cache->Reserve(1);
  const int64_t t = cache->length();
  for (int64_t b = 0; cache->has_keys() && b < 2; ++b) {
    for (int64_t h = 0; h < 2; ++h) {
      At(cache->Key(b, h, t)) = Mark(b, h, t);
      At(cache->Value(b, h, t)) = -Mark(b, h, t);
      if (cache->separate_memory_keys()) {
        At(cache->MemoryKey(b, h, t)) = Mark(b, h, t) + 0.5f;
      }
    }
  }
  cache->Advance(1);
}

bool Resident(const KvCache& cache, int64_t t) {
  return At(cache.Key(1, 1, t)) == Mark(1, 1, t) &&
         At(cache.Value(0, 1, t)) == -Mark(0, 1, t);
}

TEST(KvCache, KeepsExactlyWhatTheNextTokenNeeds) {
  for (const Variant& variant : Catalog()) {
    for (int64_t window : {1, 3, 8}) {
      const Problem p = MakeProblem(variant, window);
      KvCache cache(p);
      if (!cache.has_keys()) {
        EXPECT_EQ(cache.KvBytes(), 0u);
        continue;
      }
      for (int64_t length = 0; length < 30; ++length) {
        // Before token `length` is written: its visible past and the token
        // that leaves the window for the memory.
        const int64_t leaving = length - MemoryDelay(p.spec);
        for (int64_t t = 0; t < length; ++t) {
          if (LocalVisible(p.spec.local, length, t) ||
              (HasMemory(p.spec) && t == leaving)) {
            EXPECT_TRUE(Resident(cache, t))
                << variant.name << " token " << t << " of " << length;
          }
        }
        Push(&cache);
      }
      if (cache.ring_slots() > 0) {
        // Writing token 30 overwrites exactly token 30 - W.
        EXPECT_EQ(cache.Key(0, 0, 30), cache.Key(0, 0, 30 - window));
      }
    }
  }
}

TEST(KvCache, SuccessiveSlotsOfAHeadAreContiguous) {
  for (const Variant& variant : Catalog()) {
    const Problem p = MakeProblem(variant, 8);
    KvCache cache(p);
    if (!cache.has_keys()) continue;
    cache.Reserve(300);
    const int64_t first = cache.sinks();
    for (int64_t t = first; t < first + 7; ++t) {
      const std::ptrdiff_t step = static_cast<float*>(cache.Key(1, 1, t + 1)) -
                                  static_cast<float*>(cache.Key(1, 1, t));
      EXPECT_EQ(step, 8) << variant.name;
    }
  }
}

TEST(KvCache, OnlyGrowingCachesGrow) {
  for (const Variant& variant : Catalog()) {
    const Problem p = MakeProblem(variant, 8);
    KvCache cache(p);
    const size_t before = cache.KvBytes() + cache.StateBytes();
    cache.Reserve(10000);
    const bool grows = p.spec.local.kind == LocalKind::kCausal;
    EXPECT_EQ(cache.KvBytes() + cache.StateBytes() > before, grows)
        << variant.name;
  }
}

TEST(KvCache, SeparateMemoryKeysCostOneMoreKeyRing) {
  for (const Variant& variant : Catalog()) {
    const Problem p = MakeProblem(variant, 8);
    const KvCache plain(p);
    KvCache separate(p, true);
    const bool wanted = HasMemory(p.spec) && MemoryDelay(p.spec) > 0;
    EXPECT_EQ(separate.separate_memory_keys(), wanted) << variant.name;
    EXPECT_EQ(separate.KvBytes() * 2, plain.KvBytes() * (wanted ? 3 : 2));
    for (int64_t t = 0; wanted && t < 20; ++t) Push(&separate);
    if (wanted) {
      EXPECT_EQ(At(separate.MemoryKey(1, 0, 15)), Mark(1, 0, 15) + 0.5f);
    }
  }
}

// Two tokens that wait, phi(k) = f + 1 or -1 and v = c or 1.
TEST(KvCache, AbsorbsWhatWaitsIntoEveryStateOfItsHead) {
  Problem p = MakeProblem(*FindVariant("linear"), 0);
  p.state_per_query_head = true;
  p.tiling.absorb_every = 3;
  KvCache cache(p);
  EXPECT_EQ(cache.absorb_every(), 3);
  const int64_t features = FeatureDim(p), n = p.shape.value_dim;
  const TensorView rows = cache.pending_rows();
  ASSERT_EQ(rows.shape, (std::array<int64_t, 4>{2, 2, 2, features + n}));
  for (int64_t b = 0; b < 2; ++b) {
    for (int64_t h = 0; h < 2; ++h) {
      for (int64_t i = 0; i < features + n; ++i) {
        const bool key = i < features;
        rows.Set(b, h, 0, i, static_cast<double>(key ? i + 1 : i - features));
        rows.Set(b, h, 1, i, key ? -1 : 1);
      }
    }
  }
  cache.SetPending(2);
  const KvCache copy = cache;
  cache.AbsorbPending();
  EXPECT_EQ(cache.pending(), 0);
  for (int64_t hs = 0; hs < 4; ++hs) {
    EXPECT_EQ(cache.state().Get(1, hs, 2, 5), 3 * 5 - 1);
    EXPECT_EQ(copy.state().Get(1, hs, 2, 5), 0);
  }
  cache.AbsorbPending();
  EXPECT_EQ(cache.state().Get(0, 3, 2, 5), 3 * 5 - 1);
  EXPECT_EQ(copy.pending(), 2);
  cache.SetPending(1);
  cache.Reset();
  EXPECT_EQ(cache.pending(), 0);
}

TEST(KvCache, ACopyIsASnapshot) {
  for (const Variant& variant : Catalog()) {
    const Problem p = MakeProblem(variant, 4);
    KvCache cache(p);
    for (int64_t t = 0; t < 9; ++t) Push(&cache);
    if (cache.state()) cache.state().Set(1, 1, 2, 3, 7);
    const KvCache snapshot = cache;
    if (cache.has_keys()) {
      Push(&cache);
      At(cache.Key(1, 1, 8)) = -1;
      EXPECT_TRUE(Resident(snapshot, 8)) << variant.name;
    }
    EXPECT_EQ(snapshot.length(), 9);
    if (!cache.state()) continue;
    cache.state().Set(1, 1, 2, 3, 8);
    EXPECT_EQ(snapshot.state().Get(1, 1, 2, 3), 7) << variant.name;
  }
}

TEST(KvCache, ResetForgets) {
  for (const Variant& variant : Catalog()) {
    const Problem p = MakeProblem(variant, 4);
    KvCache cache(p);
    for (int64_t t = 0; t < 5; ++t) Push(&cache);
    if (cache.state()) cache.state().Set(0, 0, 0, 0, 7);
    cache.Reset();
    EXPECT_EQ(cache.length(), 0);
    if (cache.state()) {
      EXPECT_EQ(cache.state().Get(0, 0, 0, 0), 0);
    }
    if (p.spec.local.kind == LocalKind::kCausal) {
      EXPECT_EQ(cache.KvBytes(), 0u);
    }
  }
}

TEST(KvCache, StatesArePerKvHeadUnlessAskedFor) {
  for (const Variant& variant : Catalog()) {
    Problem p = MakeProblem(variant, 4);
    p.tiling.absorb_every = 1;
    const KvCache small(p);
    p.state_per_query_head = true;
    const KvCache large(p);
    EXPECT_EQ(large.StateBytes(), 2 * small.StateBytes()) << variant.name;
    EXPECT_EQ(large.KvBytes(), small.KvBytes()) << variant.name;
    EXPECT_EQ(small.StateBytes() > 0, HasMemory(p.spec)) << variant.name;
  }
}

TEST(KvCache, WhatCannotBeAllocatedThrows) {
  for (const Variant& variant : Catalog()) {
    if (!variant.takes_window) continue;
    EXPECT_THROW(KvCache(MakeProblem(variant, kUnboundedWindow)),
                 std::bad_alloc)
        << variant.name;
  }
}

}  // namespace
}  // namespace rattn
