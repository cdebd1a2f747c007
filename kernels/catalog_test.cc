#include "kernels/catalog.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

#include "kernels/window.h"

namespace rattn {
namespace {

VariantParams ParamsFor(const Variant& variant, int64_t window) {
  VariantParams params;
  if (variant.takes_window) params.window_keys = window;
  return params;
}

TEST(Catalog, NamesAreUniqueAndFound) {
  std::set<std::string_view> names;
  for (const Variant& variant : Catalog()) {
    EXPECT_TRUE(names.insert(variant.name).second) << variant.name;
    EXPECT_EQ(FindVariant(variant.name), &variant);
    EXPECT_FALSE(variant.summary.empty()) << variant.name;
    EXPECT_NE(variant.source.find("arXiv"), std::string_view::npos)
        << variant.name;
  }
  EXPECT_EQ(FindVariant("no such variant"), nullptr);
}

TEST(Catalog, DescriptionsAreUnique) {
  std::set<std::string> texts;
  for (const Variant& variant : Catalog()) {
    MixerSpec spec;
    std::string reason;
    ASSERT_TRUE(MakeSpec(variant, ParamsFor(variant, 7), &spec, &reason))
        << reason;
    EXPECT_TRUE(texts.insert(Describe(spec)).second) << Describe(spec);
  }
}

TEST(Catalog, WindowReachesEveryBranchThatNeedsIt) {
  for (const Variant& variant : Catalog()) {
    MixerSpec spec;
    std::string reason;
    ASSERT_TRUE(MakeSpec(variant, ParamsFor(variant, 7), &spec, &reason));
    const bool windowed =
        HasLocal(spec) && spec.local.kind != LocalKind::kCausal;
    EXPECT_EQ(spec.local.window_keys, windowed ? 7 : 0) << variant.name;
    const bool outside = spec.memory.reads == MemoryReads::kOutsideWindow;
    EXPECT_EQ(spec.memory_window_keys, outside ? 7 : 0) << variant.name;
    EXPECT_EQ(variant.takes_window, windowed || outside) << variant.name;
  }
}

TEST(Catalog, AblationsDifferFromTheirModelInOneField) {
  const Variant* model = FindVariant("rattention");
  ASSERT_NE(model, nullptr);
  for (const Variant& variant : Catalog()) {
    if (!variant.ablation) continue;
    const MixerSpec& a = variant.spec;
    const MixerSpec& b = model->spec;
    const int edits = (a.local.kind != b.local.kind) +
                      (a.memory.feature_map != b.memory.feature_map) +
                      (a.memory.normalizer != b.memory.normalizer) +
                      (a.combine != b.combine);
    EXPECT_EQ(edits, 1) << variant.name;
  }
}

TEST(Catalog, BadParametersAreNamed) {
  for (const Variant& variant : Catalog()) {
    MixerSpec spec;
    std::string reason;
    for (int64_t window :
         {int64_t{-1}, variant.takes_window ? int64_t{0} : 5}) {
      reason.clear();
      EXPECT_FALSE(MakeSpec(variant, {.window_keys = window}, &spec, &reason));
      EXPECT_NE(reason.find(variant.name), std::string::npos);
      EXPECT_NE(reason.find(std::to_string(window)), std::string::npos);
    }
    if (variant.spec.local.kind == LocalKind::kWindowSinks) continue;
    VariantParams params = ParamsFor(variant, 7);
    params.sinks = 3;
    EXPECT_FALSE(MakeSpec(variant, params, &spec, &reason)) << variant.name;
  }
}

TEST(Catalog, SinksCanBeSet) {
  for (const Variant& variant : Catalog()) {
    if (variant.spec.local.kind != LocalKind::kWindowSinks) continue;
    MixerSpec spec;
    std::string reason;
    VariantParams params = ParamsFor(variant, 7);
    ASSERT_TRUE(MakeSpec(variant, params, &spec, &reason));
    EXPECT_EQ(spec.local.sinks, variant.spec.local.sinks);
    params.sinks = 2;
    ASSERT_TRUE(MakeSpec(variant, params, &spec, &reason));
    EXPECT_EQ(spec.local.sinks, 2);
  }
}

TEST(Catalog, DescribeSpellsTheSpec) {
  MixerSpec spec;
  std::string reason;
  ASSERT_TRUE(MakeSpec(*FindVariant("rattention"), {.window_keys = 512}, &spec,
                       &reason));
  EXPECT_EQ(Describe(spec),
            "window(512) + linear(softmax, outside_window) | sum_of_norms");
}

// Every token is read once: the window's mask and the memory's are disjoint
// and their union is causal.
TEST(Catalog, WindowAndOutsideWindowCoverThePast) {
  constexpr int64_t kLength = 23;
  for (const Variant& variant : Catalog()) {
    for (int64_t window : {1, 2, 7, 23, 40}) {
      MixerSpec spec;
      std::string reason;
      ASSERT_TRUE(
          MakeSpec(variant, ParamsFor(variant, window), &spec, &reason));
      if (!HasLocal(spec) || !HasMemory(spec)) continue;
      for (int64_t i = 0; i < kLength; ++i) {
        for (int64_t j = 0; j < kLength; ++j) {
          EXPECT_EQ(LocalVisible(spec.local, i, j) + MemoryVisible(spec, i, j),
                    j <= i ? 1 : 0)
              << variant.name << " " << i << " " << j;
        }
      }
    }
  }
}

}  // namespace
}  // namespace rattn
