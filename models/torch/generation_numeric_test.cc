// Greedy generation through the caches gives exactly the tokens of repeated
// full forwards.
#include <gtest/gtest.h>

#include <algorithm>

#include "kernels/catalog.h"
#include "models/runtime.h"
#include "models/torch/training_test_data.h"

namespace rattn {
namespace {

constexpr int64_t kPrompt = 9;
constexpr int64_t kNew = 6;

std::vector<int32_t> ByFullForwards(const LanguageModel& model,
                                    std::vector<int32_t> text) {
  std::vector<int32_t> generated;
  for (int64_t i = 0; i < kNew; ++i) {
    const int64_t length = static_cast<int64_t>(text.size());
    const std::vector<TokenAt> last = {{0, length - 1}};
    const std::vector<float> logits =
        model.Logits(Batch{1, length, text, {}}, last);
    generated.push_back(static_cast<int32_t>(
        std::max_element(logits.begin(), logits.end()) - logits.begin()));
    text.push_back(generated.back());
  }
  return generated;
}

void ExpectSameTokens(const LanguageModel& model, uint64_t seed,
                      int64_t* state_bytes) {
  const std::vector<int32_t> prompt =
      CopyTask(seed, kPrompt).TrainBatch(0, 1).tokens;
  const std::vector<int32_t> want = ByFullForwards(model, prompt);
  for (const int64_t chunk : {1, 3, 0}) {
    CacheUse use;
    EXPECT_EQ(model.Generate(prompt, kNew, -1, chunk, &use), want)
        << "prefill chunk " << chunk;
    EXPECT_GT(use.kv_bytes + use.state_bytes, 0);
    *state_bytes = use.state_bytes;
  }
  // The first token as stop token ends right there.
  EXPECT_EQ(model.Generate(prompt, kNew, want.front(), 0, nullptr).size(), 1u);
}

std::vector<int64_t> Windows(const Variant& variant) {
  if (!variant.takes_window) return {0};
  return {1, 2, 5, kPrompt, kPrompt + kNew};
}

TEST(GenerationTest, CachesGiveTheTokensOfFullForwards) {
  const ModelRuntime& runtime = GetModelRuntime();
  for (const Variant& variant : Catalog()) {
    for (const char* pattern : {"LL", "LG", "LLLG"}) {
      for (const int64_t window : Windows(variant)) {
        SCOPED_TRACE(std::string(variant.name) + " " + pattern + " window " +
                     std::to_string(window));
        const ModelConfig config =
            CopyModel(std::string(variant.name), window, pattern);
        int64_t state_bytes = 0;
        ExpectSameTokens(*runtime.Create(config, 1, {"cpu", "fp32", 1}), 2,
                         &state_bytes);
        EXPECT_EQ(state_bytes > 0, HasMemory(variant.spec));
      }
    }
  }
}

// axlearn's norm after the rotation needs positions ahead of the backend.
TEST(GenerationTest, NormAfterRopeContinuesPositions) {
  ModelConfig config = CopyModel("rattention", 4);
  config.qk_norm = "local_after_rope";
  config.local.rope_layout = "interleaved";
  for (const double scale : {0.0, 2.0}) {
    config.memory_qk_scale = scale;
    int64_t state_bytes = 0;
    ExpectSameTokens(*GetModelRuntime().Create(config, 1, {"cpu", "fp32", 1}),
                     3, &state_bytes);
  }
}

TEST(GenerationTest, TrainedWeights) {
  const ModelRuntime& runtime = GetModelRuntime();
  TrainOptions options;
  options.steps = 30;
  options.batch = 8;
  for (const char* variant : {"full", "swa", "rattention", "linear"}) {
    SCOPED_TRACE(variant);
    const bool windowed = FindVariant(variant)->takes_window;
    const std::string path = testing::TempDir() + "rattn-generation-" + variant;
    runtime.Train(CopyModel(variant, windowed ? 3 : 0), options,
                  {"cpu", "fp32", 1}, CopyTask(), path, nullptr);
    int64_t state_bytes = 0;
    ExpectSameTokens(*runtime.Load(path, {"cpu", "fp32", 1}), 5, &state_bytes);
    std::remove(path.c_str());
  }
}

}  // namespace
}  // namespace rattn
