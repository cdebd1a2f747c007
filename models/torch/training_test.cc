// Training, checkpoints and the model behind the runtime's interface.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>

#include "models/error.h"
#include "models/runtime.h"
#include "models/safetensors.h"
#include "models/torch/training_test_data.h"

namespace rattn {
namespace {

namespace fs = std::filesystem;

// A folder of its own for every test.
class TrainingTest : public testing::Test {
 protected:
  TrainingTest() {
    std::string name = testing::TempDir() + "rattn-training-XXXXXX";
    folder_ = mkdtemp(name.data());
  }
  ~TrainingTest() override { fs::remove_all(folder_); }
  std::string Path(const std::string& name) const { return folder_ / name; }

  fs::path folder_;
};

TrainOptions Options(int64_t steps) {
  TrainOptions o;
  o.steps = steps;
  o.batch = 8;
  o.lr = 1e-2;
  return o;
}

ExecutionOptions On(const std::string& backend,
                    const std::string& dtype = "fp32") {
  return {backend, dtype, 1};
}

TrainResult TrainCopy(const TrainOptions& options,
                      const ExecutionOptions& execution,
                      const std::string& checkpoint, int64_t stop_at = -1,
                      const CopyTask& task = CopyTask(),
                      const ModelConfig& model = CopyModel("rattention", 3)) {
  return GetModelRuntime().Train(
      model, options, execution, task, checkpoint,
      [&](const TrainProgress& p) { return p.step != stop_at; });
}

std::string Message(const std::function<void()>& f) {
  try {
    f();
  } catch (const UserError& error) {
    return error.what();
  }
  return "no UserError";
}

void ExpectSameTensors(const std::string& a, const std::string& b) {
  const SafeTensorsFile x(a), y(b);
  ASSERT_EQ(x.tensors().size(), y.tensors().size());
  for (const auto& [name, tensor] : x.tensors()) {
    const SafeTensor& other = y.Get(name);
    ASSERT_EQ(tensor.bytes, other.bytes) << name;
    EXPECT_EQ(0, std::memcmp(tensor.data, other.data, tensor.bytes)) << name;
  }
}

TEST_F(TrainingTest, LearnsAndIsDeterministic) {
  const TrainResult first = TrainCopy(Options(60), On("aten"), Path("a"));
  EXPECT_LT(first.loss, 0.5 * first.loss_curve.front());
  EXPECT_EQ(first.loss_curve.size(), 60u);
  const TrainResult second = TrainCopy(Options(60), On("aten"), Path("b"));
  EXPECT_EQ(first.loss_curve, second.loss_curve);
  ExpectSameTensors(Path("a"), Path("b"));
  const TrainResult bf16 = TrainCopy(Options(60), On("aten", "bf16"), "");
  EXPECT_NEAR(bf16.loss, first.loss, 0.1 * first.loss_curve.front());
}

TEST_F(TrainingTest, ResumesBitForBit) {
  for (const char* backend : {"aten", "cpu"}) {
    SCOPED_TRACE(backend);
    const std::string a = Path(std::string("straight-") + backend);
    const std::string b = Path(std::string("stopped-") + backend);
    const TrainResult straight = TrainCopy(Options(20), On(backend), a);
    const TrainResult stopped = TrainCopy(Options(20), On(backend), b, 10);
    EXPECT_EQ(stopped.loss_curve.size(), 10u);
    const TrainResult resumed = TrainCopy(Options(20), On(backend), b);
    EXPECT_EQ(resumed.resumed_from, 10);
    EXPECT_EQ(resumed.loss_curve, straight.loss_curve);
    EXPECT_EQ(resumed.loss, straight.loss);
    ExpectSameTensors(a, b);

    const TrainResult done = TrainCopy(Options(20), On(backend), b);
    EXPECT_EQ(done.resumed_from, 20);
    EXPECT_EQ(done.loss_curve, straight.loss_curve);
  }
}

TEST_F(TrainingTest, WritesCheckpointsOnTheWay) {
  TrainOptions options = Options(5);
  options.checkpoint_every = 2;
  std::vector<bool> present;
  GetModelRuntime().Train(CopyModel("swa", 3), options, On("aten"), CopyTask(),
                          Path("c"), [&](const TrainProgress&) {
                            present.push_back(fs::exists(Path("c")));
                            return true;
                          });
  EXPECT_THAT(present, testing::ElementsAre(false, false, true, true, true));
}

TEST_F(TrainingTest, RefusesCheckpointsOfOtherRuns) {
  using testing::HasSubstr;
  TrainCopy(Options(2), On("aten"), Path("c"));
  TrainOptions other = Options(2);
  other.lr = 2e-2;
  EXPECT_THAT(Message([&] { TrainCopy(other, On("aten"), Path("c")); }),
              HasSubstr("lr 0.01 (now 0.02)"));
  EXPECT_THAT(Message([&] { TrainCopy(Options(3), On("aten"), Path("c")); }),
              HasSubstr("steps 2 (now 3)"));
  EXPECT_THAT(
      Message([&] { TrainCopy(Options(2), On("aten", "bf16"), Path("c")); }),
      HasSubstr("dtype"));
  EXPECT_THAT(Message([&] {
                TrainCopy(Options(2), On("aten"), Path("c"), -1, CopyTask(9));
              }),
              HasSubstr("other data (copy 0, now copy 9)"));
  EXPECT_THAT(Message([&] {
                TrainCopy(Options(2), On("aten"), Path("c"), -1, CopyTask(),
                          CopyModel("rattention", 4));
              }),
              HasSubstr("local.window_keys 3 (now 4)"));
}

TEST_F(TrainingTest, RefusesDamagedCheckpoints) {
  TrainCopy(Options(2), On("aten"), Path("whole"));
  std::ifstream in(Path("whole"), std::ios::binary);
  const std::string bytes((std::istreambuf_iterator<char>(in)), {});
  const auto write = [&](const std::string& content) {
    std::ofstream(Path("bad"), std::ios::binary) << content;
  };
  const ModelRuntime& runtime = GetModelRuntime();
  for (const size_t keep : {size_t{0}, size_t{7}, size_t{100}, bytes.size() / 2,
                            bytes.size() - 1}) {
    write(bytes.substr(0, keep));
    EXPECT_THROW(TrainCopy(Options(2), On("aten"), Path("bad")), UserError)
        << keep;
    EXPECT_THROW(runtime.Load(Path("bad"), On("aten")), UserError) << keep;
  }
  std::string renamed = bytes;
  renamed.replace(renamed.find("layers.0.qkv"), 12, "layers.0.qkw");
  write(renamed);
  EXPECT_THROW(runtime.Load(Path("bad"), On("aten")), UserError);
  EXPECT_THROW(runtime.Load(Path("missing"), On("aten")), UserError);
}

// Whatever a published architecture adds can be trained as well.
TEST_F(TrainingTest, ExpertsPostNormsBiasesAndCapsTrain) {
  ModelConfig model = CopyModel("swa", 3);
  model.experts = 4;
  model.active_experts = 2;
  model.ffn = "geglu_erf";
  model.post_norms = model.qkv_bias = model.attention_out_bias = true;
  model.embedding_scale = 2;
  model.logit_softcap = 20;
  const TrainResult result =
      TrainCopy(Options(60), On("cpu"), Path("experts"), -1, CopyTask(), model);
  EXPECT_LT(result.loss_curve.back(), 0.8 * result.loss_curve.front());
}

TEST_F(TrainingTest, RefusesWhatCannotRun) {
  using testing::HasSubstr;
  const ModelRuntime& runtime = GetModelRuntime();
  const ModelConfig model = CopyModel("swa", 3);
  EXPECT_THAT(Message([&] { runtime.Create(model, 0, On("nonsense")); }),
              HasSubstr("nonsense"));
  EXPECT_THAT(Message([&] { runtime.Create(model, 0, On("aten", "int8")); }),
              HasSubstr("int8"));
  ModelConfig narrow = model;
  narrow.vocab_size = 5;
  EXPECT_THAT(Message([&] {
                TrainCopy(Options(1), On("aten"), "", -1, CopyTask(), narrow);
              }),
              HasSubstr("vocab_size"));
  TrainOptions bad = Options(1);
  bad.lr = -1;
  EXPECT_THAT(Message([&] { TrainCopy(bad, On("aten"), ""); }),
              HasSubstr("lr"));
  const auto lm = runtime.Create(model, 0, On("aten"));
  const std::vector<int32_t> prompt = {1, 99};
  EXPECT_THAT(Message([&] { lm->Generate(prompt, 1, -1, 0, nullptr); }),
              HasSubstr("token 99"));
}

// What a row's logits are depends on that row alone, down to the last bit.
TEST_F(TrainingTest, LogitsOfARowDoNotDependOnTheBatch) {
  const auto lm = GetModelRuntime().Create(CopyModel("rattention", 3), 4,
                                           {"aten", "fp32", 2});
  const Batch batch = CopyTask().TrainBatch(0, 9);
  std::vector<TokenAt> all;
  for (int64_t r = 0; r < batch.rows; ++r) all.push_back({r, 7});
  const std::vector<float> together = lm->Logits(batch, all);
  for (int64_t r = 0; r < batch.rows; ++r) {
    Batch single{1, 8, {}, {}};
    single.tokens.assign(batch.tokens.begin() + r * batch.length,
                         batch.tokens.begin() + r * batch.length + 8);
    const std::vector<TokenAt> at = {{0, 7}};
    const std::vector<float> alone = lm->Logits(single, at);
    ASSERT_EQ(alone.size(), 11u);
    EXPECT_TRUE(
        std::equal(alone.begin(), alone.end(), together.begin() + r * 11));
  }
}

}  // namespace
}  // namespace rattn
