// Tests only: what holds for models on a device, whichever it is.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "models/runtime.h"
#include "models/torch/test_tensors.h"
#include "models/torch/training_test_data.h"

namespace rattn {

inline ExecutionOptions InBf16(const std::string& backend) {
  return {backend, "bf16", 1, 0};
}

// Norms, rotations and scales of q and k in every order.
inline std::vector<ModelConfig> DeviceModels() {
  std::vector<ModelConfig> models = {CopyModel("rattention", 3),
                                     CopyModel("swa", 3, "LL"),
                                     CopyModel("rla", 3)};
  models.push_back(CopyModel("rattention", 3));
  models.back().qk_norm = "local_after_rope";
  models.back().local.rope_layout = "interleaved";
  models.push_back(CopyModel("rattention", 3));
  models.back().qk_norm = "none";
  models.back().memory_qk_scale = 0;
  models.back().ffn = "geglu";
  return models;
}

inline void ExpectLogitsOfTheCpu(const ModelConfig& config) {
  const Batch batch = CopyTask().TrainBatch(0, 2);
  std::vector<TokenAt> places;
  for (int64_t i = 0; i < batch.length; i += 3) places.push_back({i % 2, i});
  const auto logits = [&](const char* backend) {
    const auto model = GetModelRuntime().Create(config, 1, InBf16(backend));
    const std::vector<float> values = model->Logits(batch, places);
    return at::tensor(values);
  };
  EXPECT_LE(RelativeRms(logits("cuda"), logits("cpu")), 2e-2);
}

inline TrainResult TrainShortly(const ModelConfig& config, const char* backend,
                                const std::string& checkpoint = "",
                                int64_t stop_at = -1) {
  TrainOptions options;
  options.steps = 4;
  options.batch = 2;
  options.lr = 1e-2;
  return GetModelRuntime().Train(
      config, options, InBf16(backend), CopyTask(), checkpoint,
      [&](const TrainProgress& p) { return p.step != stop_at; });
}

inline void ExpectLossesOfTheCpu(const ModelConfig& config) {
  const TrainResult want = TrainShortly(config, "cpu");
  const TrainResult got = TrainShortly(config, "cuda");
  ASSERT_EQ(got.loss_curve.size(), want.loss_curve.size());
  for (size_t i = 0; i < want.loss_curve.size(); ++i) {
    EXPECT_NEAR(got.loss_curve[i], want.loss_curve[i], 0.02) << "step " << i;
  }
}

// Greedy tokens through caches, which stay on the device: in one whole forward
// each has the highest logit, but for what bf16 may tip.
inline void ExpectTokensOfFullForwards(const ModelConfig& config) {
  const auto model = GetModelRuntime().Create(config, 1, InBf16("cuda"));
  const std::vector<int32_t> prompt = CopyTask(2, 9).TrainBatch(0, 1).tokens;
  for (const int64_t chunk : {1, 4}) {
    CacheUse use;
    std::vector<int32_t> text = prompt;
    for (const int32_t token : model->Generate(prompt, 3, -1, chunk, &use)) {
      const int64_t length = static_cast<int64_t>(text.size());
      const std::vector<TokenAt> last = {{0, length - 1}};
      const std::vector<float> logits =
          model->Logits(Batch{1, length, text, {}}, last);
      const auto [low, high] =
          std::minmax_element(logits.begin(), logits.end());
      EXPECT_GE(logits[token], *high - 0.05f * (*high - *low))
          << "prefill chunk " << chunk << ", place " << length;
      text.push_back(token);
    }
    EXPECT_EQ(text.size(), prompt.size() + 3);
    EXPECT_GT(use.kv_bytes, 0);
  }
}

}  // namespace rattn
