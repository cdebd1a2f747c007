#include "harness/memory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "kernels/kv_cache.h"
#include "models/error.h"

namespace rattn {
namespace {

constexpr double kMiB = 1024 * 1024;

ModelMemory MemoryOf(const std::string& model, const std::string& variant,
                     int64_t window, int64_t context,
                     MeasureMemory measure = MeasureMemory::kNone) {
  ModelConfig config = LoadModelConfig(model);
  config.local.variant = variant;
  config.local.window_keys = window;
  return ComputeMemory(
      config, {.context = context, .dtype = Dtype::kBF16, .measure = measure});
}

// bf16 keys and values, fp32 states: MiB of full attention, of swa with 1024
// keys and of rattention with 512 keys in the local layers, with one state per
// KV head and one per query head.
struct Row {
  const char* model;
  int64_t context;
  double full, swa_1k, kv_head, query_head;
};

TEST(Memory, TableOfPublishedModels) {
  const Row rows[] = {
      {"rattention-3b", 4096, 448, 196, 175, 238},
      {"rattention-12b", 4096, 640, 280, 250, 370},
      {"mistral-7b", 4096, 512, 128, 96, 192},
      {"gemma-2-9b", 4096, 1344, 840, 840, 924},
      {"gemma-3-4b", 4096, 544, 196, 196, 254},
      {"gemma-3-12b", 4096, 1536, 576, 576, 736},
      {"rattention-3b", 32768, 3584, 980, 959, 1022},
      {"rattention-12b", 32768, 5120, 1400, 1370, 1490},
      {"mistral-7b", 32768, 4096, 128, 96, 192},
      {"gemma-2-9b", 32768, 10752, 5544, 5544, 5628},
      {"gemma-3-4b", 32768, 4352, 756, 756, 814},
      {"gemma-3-12b", 32768, 12288, 2368, 2368, 2528},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(std::string(row.model) + " at " + std::to_string(row.context));
    const auto swa = MemoryOf(row.model, "swa", 1024, row.context);
    const auto rattention = MemoryOf(row.model, "rattention", 512, row.context);
    EXPECT_EQ(swa.full_kv_bytes / kMiB, row.full);
    EXPECT_EQ(swa.kv_bytes / kMiB, row.swa_1k);
    EXPECT_EQ(swa.state_bytes, 0);
    EXPECT_EQ((rattention.kv_bytes + rattention.state_bytes) / kMiB,
              row.kv_head);
    EXPECT_EQ(
        (rattention.kv_bytes + rattention.state_bytes_per_query_head) / kMiB,
        row.query_head);
  }
  EXPECT_EQ(MemoryOf("llama-2-7b", "swa", 64, 4096).full_kv_bytes / kMiB, 2048);
  EXPECT_EQ(MemoryOf("llama-2-7b", "swa", 64, 4096).kv_bytes / kMiB, 2048);
}

TEST(Memory, TwelveBillionSavesWhatThePaperSays) {
  const auto window = MemoryOf("rattention-12b", "swa", 1024, 4096);
  EXPECT_DOUBLE_EQ(SavedPercent(window.kv_bytes, window.full_kv_bytes), 56.25);
  const auto honest = MemoryOf("rattention-12b", "rattention", 512, 4096);
  EXPECT_EQ(std::lround(SavedPercent(honest.kv_bytes + honest.state_bytes,
                                     honest.full_kv_bytes)),
            61);
  EXPECT_EQ(std::lround(SavedPercent(
                honest.kv_bytes + honest.state_bytes_per_query_head,
                honest.full_kv_bytes)),
            42);
}

TEST(Memory, MistralsWindowFacts) {
  const auto memory =
      ComputeMemory(LoadModelConfig("mistral-7b"),
                    {.context = 32768, .measure = MeasureMemory::kLayer});
  EXPECT_EQ(memory.kv_bytes / kMiB, 512);
  EXPECT_EQ(memory.measured_kv_bytes, memory.kv_bytes);
  EXPECT_EQ(memory.receptive_field, 131041);
  EXPECT_EQ(memory.prefill_chunks, 8);
}

TEST(Memory, ReceptiveFieldOnlyWhereWindowsAreAll) {
  EXPECT_FALSE(MemoryOf("rattention-12b", "swa", 512, 64).receptive_field);
  EXPECT_FALSE(MemoryOf("mistral-7b", "rattention", 512, 64).receptive_field);
  EXPECT_FALSE(MemoryOf("mistral-7b", "swa+sinks", 512, 64).receptive_field);
  EXPECT_FALSE(MemoryOf("mistral-7b", "full", 0, 64).prefill_chunks);
}

TEST(Memory, MeasuredEqualsFormulaWhereWholePagesAreUsed) {
  for (const char* variant : {"swa", "swa+sinks", "rattention", "linear"}) {
    SCOPED_TRACE(variant);
    ModelConfig config = LoadModelConfig("tiny-recall");
    config.pattern = {"local", "global"};
    config.layers = 6;
    config.local.variant = variant;
    config.local.window_keys = std::string(variant) == "linear" ? 0 : 100;
    for (const auto measure : {MeasureMemory::kLayer, MeasureMemory::kAll}) {
      const auto memory = ComputeMemory(config, {.context = 2 * kPageTokens,
                                                 .batch = 3,
                                                 .dtype = Dtype::kF32,
                                                 .measure = measure});
      EXPECT_EQ(memory.measured_kv_bytes, memory.kv_bytes);
      EXPECT_EQ(memory.measured_state_bytes, memory.state_bytes);
      EXPECT_EQ(memory.reason, "");
    }
  }
}

TEST(Memory, AWindowAboveTheContextTakesTheContext) {
  for (const char* variant : {"swa", "swa+sinks", "rattention", "rla"}) {
    SCOPED_TRACE(variant);
    const auto memory = MemoryOf("tiny-recall", variant, 1 << 20, kPageTokens,
                                 MeasureMemory::kAll);
    EXPECT_EQ(memory.measured_kv_bytes, memory.kv_bytes);
  }
}

TEST(Memory, WhatDoesNotFitIsNotMeasuredAndSaysWhy) {
  const auto memory = ComputeMemory(
      LoadModelConfig("llama-2-7b"),
      {.context = int64_t{1} << 30, .measure = MeasureMemory::kAll});
  EXPECT_FALSE(memory.measured_kv_bytes);
  EXPECT_THAT(memory.reason, testing::HasSubstr("not measured"));
  EXPECT_GT(memory.kv_bytes, 0);
}

TEST(Memory, SizesAreChecked) {
  const ModelConfig config = LoadModelConfig("mistral-7b");
  EXPECT_THROW(ComputeMemory(config, {.context = 0}), UserError);
  EXPECT_THROW(ComputeMemory(config, {.batch = -1}), UserError);
  EXPECT_THROW(ComputeMemory(config, {.context = INT64_MAX, .batch = 2}),
               UserError);
}

std::string OverrideError(const std::string& model,
                          const LocalOverride& change) {
  try {
    WithLocal(LoadModelConfig(model), change);
  } catch (const UserError& e) {
    return e.what();
  }
  return "";
}

TEST(Memory, OverridesOfTheLocalLayers) {
  const auto swa = WithLocal(LoadModelConfig("rattention-12b"),
                             {.variant = "swa", .window_keys = 1024});
  EXPECT_EQ(swa.local.variant, "swa");
  EXPECT_EQ(swa.local.window_keys, 1024);
  // A variant without a window drops the config's.
  const auto full =
      WithLocal(LoadModelConfig("rattention-12b"), {.variant = "full"});
  EXPECT_EQ(full.local.window_keys, 0);
  const auto llama =
      WithLocal(LoadModelConfig("llama-2-7b"),
                {.window_keys = 512, .pattern = {"local", "global"}});
  EXPECT_EQ(llama.local.variant, "swa");

  EXPECT_THAT(OverrideError("llama-2-7b", {.window_keys = 512}),
              testing::HasSubstr("no local layers"));
  EXPECT_THAT(OverrideError("mistral-7b", {.pattern = {"lokal"}}),
              testing::HasSubstr("did you mean \"local\"?"));
  EXPECT_THAT(OverrideError("mistral-7b", {.variant = "ratention"}),
              testing::HasSubstr("did you mean \"rattention\"?"));
  EXPECT_THAT(OverrideError("mistral-7b", {.window_keys = 0}),
              testing::HasSubstr("swa"));
  EXPECT_THAT(OverrideError("mistral-7b", {.window_keys = -4}),
              testing::HasSubstr("swa"));
  EXPECT_THAT(
      OverrideError("mistral-7b", {.variant = "full", .window_keys = 4}),
      testing::HasSubstr("takes no window"));
}

}  // namespace
}  // namespace rattn
