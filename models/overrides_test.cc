#include "models/overrides.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "models/error.h"

namespace rattn {
namespace {

using testing::HasSubstr;

std::string ErrorOf(const ModelConfig& config,
                    const MixerOverrides& overrides) {
  try {
    WithOverrides(config, overrides);
  } catch (const UserError& error) {
    return error.what();
  }
  return "";
}

TEST(Overrides, AWindowGoesToTheLocalLayersOrToAll) {
  const ModelConfig gemma = LoadModelConfig("gemma-3-270m");
  const ModelConfig local = WithOverrides(gemma, {.window_keys = 64});
  EXPECT_EQ(LayerProblem(local, 0).spec.local.window_keys, 64);
  EXPECT_EQ(LayerProblem(local, 5).spec.local.kind, LocalKind::kCausal);
  const ModelConfig all =
      WithOverrides(gemma, {.window_keys = 64, .layers = "all"});
  EXPECT_EQ(LayerProblem(all, 5).spec.local.window_keys, 64);
  EXPECT_EQ(LayerProblem(all, 5).positions.theta, 1e6);
  // A model without local layers.
  const ModelConfig smol =
      WithOverrides(LoadModelConfig("smollm2-135m"), {.window_keys = 64});
  EXPECT_EQ(LayerProblem(smol, 3).spec.local.kind, LocalKind::kWindow);
  EXPECT_EQ(LayerProblem(smol, 3).spec.local.window_keys, 64);
}

TEST(Overrides, AVariantKeepsTheWindowUnlessItTakesNone) {
  const ModelConfig gemma = LoadModelConfig("gemma-3-270m");
  const ModelConfig sinks = WithOverrides(
      gemma, {.window_keys = 0, .variant = "swa+sinks", .sinks = 2});
  EXPECT_EQ(LayerProblem(sinks, 0).spec.local.window_keys, 512);
  EXPECT_EQ(LayerProblem(sinks, 0).spec.local.sinks, 2);
  const ModelConfig full = WithOverrides(gemma, {.variant = "full"});
  EXPECT_EQ(LayerProblem(full, 0).spec.local.kind, LocalKind::kCausal);
  const ModelConfig rattention =
      WithOverrides(gemma, {.window_keys = 32, .variant = "rattention"});
  EXPECT_TRUE(HasMemory(LayerProblem(rattention, 0).spec));
}

TEST(Overrides, RefusesWhatCannotBe) {
  const ModelConfig smol = LoadModelConfig("smollm2-135m");
  EXPECT_THAT(ErrorOf(smol, {.window_keys = 8, .layers = "local"}),
              HasSubstr("no local layers"));
  EXPECT_THAT(ErrorOf(smol, {.window_keys = 8, .variant = "full"}),
              HasSubstr("takes no window"));
  EXPECT_THAT(ErrorOf(smol, {.variant = "swa"}), HasSubstr("window"));
  EXPECT_THAT(ErrorOf(smol, {.variant = "swaa", .layers = "all"}),
              HasSubstr("swaa"));
  EXPECT_THAT(ErrorOf(smol, {.window_keys = 8, .layers = "some"}),
              HasSubstr("some"));
}

}  // namespace
}  // namespace rattn
