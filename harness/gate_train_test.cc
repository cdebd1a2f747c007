// The gate of the whole chain from kernels to scores: two short trainings of
// one small model. A window that is far too short to reach the facts stays at
// chance on them, the same window with a memory finds them, and both learn
// the local question (which proves that the first one did train).
#include <gtest/gtest.h>

#include <map>
#include <string>

#include "models/runtime.h"
#include "tasks/task.h"

namespace rattn {
namespace {

constexpr int64_t kSteps = 180;
constexpr int64_t kSamples = 512;

ModelConfig GateModel(const std::string& variant) {
  ModelConfig c;
  c.name = "gate";
  c.vocab_size = 48;
  c.d_model = 64;
  c.layers = 2;
  c.pattern = {"local"};
  c.query_heads = 2;
  c.kv_heads = 2;
  c.head_dim = 32;
  c.ffn_dim = 128;
  c.local.variant = variant;
  c.local.window_keys = 5;  // the paper's w = 4
  c.local.rope = true;
  c.qk_norm = "before_rope";
  c.memory_qk_scale = 3;
  c.init_std = 0.08;
  c.tied_embeddings = false;
  c.token_shift = true;
  return c;
}

std::map<std::string, double> TrainAndScore(const std::string& variant) {
  const ModelRuntime& runtime = GetModelRuntime();
  const std::unique_ptr<Task> task = MakeTask("two_hop", "{}");
  const std::string checkpoint =
      testing::TempDir() + "rattn-gate-" + variant + ".safetensors";
  std::remove(checkpoint.c_str());
  TrainOptions options;
  options.steps = kSteps;
  const ExecutionOptions execution{.threads = 1};
  runtime.Train(GateModel(variant), options, execution, *task, checkpoint,
                nullptr);
  EvalOptions scoring;
  scoring.samples = kSamples;
  scoring.seed = 1;
  const EvalResult result =
      task->Evaluate(*runtime.Load(checkpoint, execution), scoring);
  std::remove(checkpoint.c_str());
  std::map<std::string, double> scores;
  for (const Score& score : result.scores) scores[score.key] = score.value;
  return scores;
}

// Bounds from 3 seeds a variant: with the memory .97 to 1.00 of the roots'
// values are found after 180 steps. The window's .125 is structural: two
// layers reach 9 tokens and a root's value stands 33 or more tokens back; .20
// is ten standard errors away.
TEST(GateTest, MemoryFindsWhatTheWindowCannotReach) {
  std::map<std::string, double> window = TrainAndScore("swa");
  std::map<std::string, double> memory = TrainAndScore("rattention");
  EXPECT_GE(window.at("accuracy.L"), 0.95);
  EXPECT_GE(memory.at("accuracy.L"), 0.95);
  EXPECT_LE(window.at("accuracy.Q1"), 0.20);
  EXPECT_GE(memory.at("accuracy.Q1"), 0.80);
  EXPECT_GE(memory.at("accuracy.Q1") - window.at("accuracy.Q1"), 0.60);
}

}  // namespace
}  // namespace rattn
