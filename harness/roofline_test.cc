#include "harness/roofline.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "harness/memory.h"
#include "harness/program_test_util.h"
#include "models/error.h"
#include "models/json_fields.h"

namespace rattn {
namespace {

double SpeedUp(const std::string& model, int64_t context, int64_t batch,
               StateTraffic traffic) {
  const Hardware h100 = LoadHardware("h100-sxm");
  const ModelConfig config = LoadModelConfig(model);
  const ModelConfig baseline =
      WithLocal(config, {.variant = "swa", .window_keys = 4096});
  const StepOptions options = {
      .context = context, .batch = batch, .traffic = traffic};
  return PredictStep(baseline, h100, options).seconds /
         PredictStep(config, h100, options).seconds;
}

// Speed-up of rattention with 512 keys over swa with 4096, batch 1, 16, 64,
// 256, as printed to two digits.
struct Row {
  const char* model;
  int64_t context;
  StateTraffic traffic;
  const char* speed_ups;
};

TEST(Roofline, TableOfSpeedUps) {
  using T = StateTraffic;
  const Row rows[] = {
      {"rattention-3b", 4096, T::kKvHead, "1.04/1.47/1.89/2.16"},
      {"rattention-3b", 8192, T::kKvHead, "1.04/1.39/1.64/1.76"},
      {"rattention-12b", 4096, T::kKvHead, "1.01/1.20/1.55/1.96"},
      {"rattention-12b", 8192, T::kKvHead, "1.01/1.19/1.44/1.67"},
      {"rattention-12b", 32768, T::kKvHead, "1.01/1.12/1.20/1.24"},
      {"rattention-3b", 4096, T::kQueryHead, "1.02/1.19/1.31/1.37"},
      {"rattention-3b", 8192, T::kQueryHead, "1.02/1.16/1.24/1.28"},
      {"rattention-12b", 4096, T::kQueryHead, "1.00/1.06/1.13/1.20"},
      {"rattention-12b", 8192, T::kQueryHead, "1.00/1.06/1.11/1.16"},
      {"rattention-12b", 32768, T::kQueryHead, "1.00/1.04/1.06/1.07"},
      {"rattention-3b", 4096, T::kKvHeadReadBf16, "1.05/1.56/2.13/2.52"},
      {"rattention-3b", 8192, T::kKvHeadReadBf16, "1.05/1.46/1.78/1.95"},
      {"rattention-12b", 4096, T::kKvHeadReadBf16, "1.02/1.23/1.66/2.23"},
      {"rattention-12b", 8192, T::kKvHeadReadBf16, "1.02/1.21/1.53/1.83"},
      {"rattention-12b", 32768, T::kKvHeadReadBf16, "1.02/1.14/1.23/1.28"},
  };
  for (const Row& row : rows) {
    const auto at = [&](int64_t batch) {
      return SpeedUp(row.model, row.context, batch, row.traffic);
    };
    EXPECT_EQ(fmt::format("{:.2f}/{:.2f}/{:.2f}/{:.2f}", at(1), at(16), at(64),
                          at(256)),
              row.speed_ups)
        << row.model << " at " << row.context << ", " << Name(row.traffic);
  }
}

TEST(Roofline, StepTimeIsTheFormula) {
  ModelConfig config = LoadModelConfig("mistral-7b");
  const Hardware hardware = {.name = "x",
                             .source = "x",
                             .bf16_flops = 1e14,
                             .fp32_flops = {},
                             .memory_bandwidth = 1e12,
                             .memory_bytes = 16e9};
  const double parameters = static_cast<double>(
      CountParameters(config).total - config.vocab_size * config.d_model);
  const auto one = PredictStep(config, hardware, {.context = 4096, .batch = 1});
  EXPECT_DOUBLE_EQ(one.cache_bytes, 512.0 * 1024 * 1024);
  EXPECT_DOUBLE_EQ(one.weight_bytes, 2 * parameters);
  EXPECT_DOUBLE_EQ(one.seconds, (one.cache_bytes + 2 * parameters) / 1e12);
  EXPECT_TRUE(one.fits);
  // Far above the ridge the arithmetic is what counts.
  const auto many =
      PredictStep(config, hardware, {.context = 4096, .batch = 1024});
  EXPECT_DOUBLE_EQ(many.seconds,
                   many.cache_bytes / 1e12 + 2 * 1024 * parameters / 1e14);
  EXPECT_FALSE(many.fits);
}

TEST(Roofline, ABatchReadsMoreExpertsThanAToken) {
  const ModelConfig mixtral = LoadModelConfig("mixtral-8x7b");
  const Hardware h100 = LoadHardware("h100-sxm");
  const auto read = [&](int64_t batch) {
    return PredictStep(mixtral, h100, {.context = 64, .batch = batch})
               .weight_bytes /
           2;
  };
  const auto count = CountParameters(mixtral);
  const double table = static_cast<double>(32000) * 4096;
  EXPECT_NEAR(read(1) / (count.active - table), 1, 1e-9);
  EXPECT_NEAR(read(100000) / (count.total - table), 1, 1e-9);
  EXPECT_GT(read(4), read(1));
}

TEST(Roofline, AMemoryAloneTouchesItsStateAndOneRow) {
  const ModelConfig config = WithLocal(LoadModelConfig("mistral-7b"),
                                       {.variant = "rla", .window_keys = 4096});
  const auto step = PredictStep(config, LoadHardware("h100-sxm"),
                                {.context = 8192, .batch = 1});
  const double state = 8.0 * 256 * 128 * 4, row = 2 * 8 * 128 * 2;
  EXPECT_DOUBLE_EQ(step.cache_bytes, 32 * (2 * state + row));
}

// Those without a window stand once.
TEST(Roofline, VariantsAndWindowsAreLists) {
  const Ended run =
      RunProgram({"roofline", "rattention-12b", "--variant", "full,swa+sinks",
                  "--window", "128,512", "--sinks", "4", "--context", "4096",
                  "--batch", "16", "--json"});
  EXPECT_EQ(run.exit_code, 0) << run.err;
  const Json all = ParseJsonText(run.out, "output").at("predictions");
  ASSERT_EQ(all.size(), 3u);
  EXPECT_EQ(all[0]["variant"], "full");
  EXPECT_EQ(all[0]["window_keys"], nullptr);
  EXPECT_EQ(all[1]["variant"], "swa+sinks");
  EXPECT_EQ(all[1]["window_keys"], 128);
  EXPECT_EQ(all[2]["window_keys"], 512);
}

TEST(Roofline, MisuseIsNamed) {
  const ModelConfig config = LoadModelConfig("mistral-7b");
  const Hardware h100 = LoadHardware("h100-sxm");
  EXPECT_THROW(PredictStep(config, h100, {.batch = 0}), UserError);
  EXPECT_THROW(PredictStep(config, h100, {.context = -1}), UserError);
  EXPECT_THROW(ParseStateTraffic("kvhead"), UserError);
  EXPECT_EQ(ParseStateTraffic("query-head"), StateTraffic::kQueryHead);
}

}  // namespace
}  // namespace rattn
