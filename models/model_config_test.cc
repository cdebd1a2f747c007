#include "models/model_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "models/config_files.h"
#include "models/error.h"
#include "models/json_fields.h"
#include "models/model_fields.h"

namespace rattn {
namespace {

using testing::HasSubstr;

Json SmallModel() {
  return ParseJsonText(
      R"({"name": "m", "vocab_size": 48, "d_model": 64, "layers": 4,
          "pattern": ["local", "local", "local", "global"], "query_heads": 4,
          "kv_heads": 2, "head_dim": 16, "ffn_dim": 96,
          "local": {"variant": "rattention", "window_keys": 8},
          "global": {"variant": "full"}})",
      "m");
}

std::string ErrorOf(const Json& json) {
  try {
    ParseModelConfig(json.dump(), "m.json");
  } catch (const UserError& e) {
    return e.what();
  }
  return "";
}

// SmallModel with the value at `pointer` replaced.
std::string ErrorWith(const std::string& pointer, const Json& value) {
  Json json = SmallModel();
  json[Json::json_pointer(pointer)] = value;
  return ErrorOf(json);
}

TEST(ModelConfig, EveryShippedModelReadsBackAsWritten) {
  const std::vector<std::string> names = ListConfigs("models");
  ASSERT_GE(names.size(), 15u);
  for (const std::string& name : names) {
    SCOPED_TRACE(name);
    const ModelConfig config = LoadModelConfig(name);
    EXPECT_EQ(config.name, name);
    EXPECT_FALSE(config.source.empty());
    const std::string text = ToJson(config);
    EXPECT_EQ(ToJson(ParseModelConfig(text, name)), text);
    // Every key of the file is one of the struct's, and none is lost.
    const Json file = ReadJsonFile(FindConfig("models", name));
    const Json written = ParseJsonText(text, name);
    EXPECT_EQ(written.size(), PrintFields(ModelConfig{}).size());
    for (const auto& [key, value] : file.items()) {
      ASSERT_TRUE(written.contains(key)) << key;
      if (value.is_object()) continue;
      EXPECT_EQ(written[key], value) << key;
    }
    for (int64_t i = 0; i < config.layers; ++i) LayerProblem(config, i);
  }
}

TEST(ModelConfig, PatternRepeatsOverTheLayers) {
  const ModelConfig gemma = LoadModelConfig("gemma-3-4b");
  int64_t global = 0;
  for (int64_t i = 0; i < gemma.layers; ++i) global += !IsLocalLayer(gemma, i);
  EXPECT_EQ(global, 5);
  EXPECT_EQ(gemma.layers - global, 29);
  EXPECT_TRUE(IsLocalLayer(gemma, 4));
  EXPECT_FALSE(IsLocalLayer(gemma, 5));
}

TEST(ModelConfig, LayerProblemCarriesShapeAndMixer) {
  const ModelConfig config = LoadModelConfig("rattention-12b");
  const Problem local = LayerProblem(config, 0);
  EXPECT_EQ(local.spec.local.window_keys, 512);
  EXPECT_EQ(local.shape.query_heads, 40);
  EXPECT_EQ(local.shape.kv_heads, 8);
  EXPECT_EQ(local.shape.head_dim, 128);
  EXPECT_TRUE(local.positions.rope);
  EXPECT_EQ(local.positions.layout, RopeLayout::kInterleaved);
  const Problem global = LayerProblem(config, 3);
  EXPECT_EQ(global.spec.local.kind, LocalKind::kCausal);
  EXPECT_FALSE(global.positions.rope);
}

TEST(ModelConfig, ParametersMatchPublishedCounts) {
  const auto near = [](const std::string& name, double total, double active) {
    SCOPED_TRACE(name);
    const ParameterCount count = CountParameters(LoadModelConfig(name));
    EXPECT_NEAR(count.total / total, 1, 0.01);
    EXPECT_NEAR(count.active / active, 1, 0.01);
  };
  near("mistral-7b", 7.24e9, 7.24e9);
  near("mixtral-8x7b", 46.7e9, 12.9e9);
  near("llama-2-7b", 6.74e9, 6.74e9);
  near("llama-2-13b", 13.02e9, 13.02e9);
  near("gemma-2-2b", 2.61e9, 2.61e9);
  near("gemma-2-9b", 9.24e9, 9.24e9);
  near("gemma-2-27b", 27.2e9, 27.2e9);
  near("gemma-3-270m", 268e6, 268e6);
  near("gemma-3-1b", 1.0e9, 1.0e9);
  near("gemma-3-4b", 3.88e9, 3.88e9);
  near("gemma-3-12b", 11.77e9, 11.77e9);
  near("gemma-3-27b", 27.0e9, 27.0e9);
  near("smollm2-135m", 134.5e6, 134.5e6);
  near("rattention-3b", 2.88e9, 2.88e9);  // without embeddings
  near("rattention-12b", 12.58e9, 12.58e9);
}

TEST(ModelConfig, TinyRecallIsTheRecipe) {
  // Two tables and a head of 48 x 64, two layers of 4 x 64^2 attention and
  // 3 x 64 x 128 feed-forward, norms and scales.
  ModelConfig config = LoadModelConfig("tiny-recall");
  const int64_t body = 2 * (4 * 64 * 64 + 3 * 64 * 128 + 2 * 64 + 2 * 32) + 64;
  EXPECT_EQ(CountParameters(config).embedding, 3 * 48 * 64);
  EXPECT_EQ(CountParameters(config).total, 3 * 48 * 64 + body);
  // rattention adds two norm scales [2, 32] and the learned q and k scales.
  config.local.variant = "rattention";
  EXPECT_EQ(CountParameters(config).total,
            3 * 48 * 64 + body + 2 * (2 * 2 * 32 + 2 * 32));
}

TEST(ModelConfig, RefusesWhatCannotBeBuilt) {
  EXPECT_EQ(ErrorOf(SmallModel()), "");
  EXPECT_THAT(ErrorWith("/d_modle", 64),
              HasSubstr("unknown key \"d_modle\"; did you mean \"d_model\"?"));
  EXPECT_THAT(ErrorWith("/head_dim", 7), HasSubstr("\"head_dim\""));
  EXPECT_THAT(ErrorWith("/head_dim", 12), HasSubstr("multiple of 8"));
  EXPECT_THAT(ErrorWith("/kv_heads", 3), HasSubstr("must divide"));
  EXPECT_THAT(ErrorWith("/layers", -1), HasSubstr("\"layers\" must be from 1"));
  EXPECT_THAT(ErrorWith("/pattern", Json::array()), HasSubstr("empty"));
  EXPECT_THAT(ErrorWith("/pattern/0", "lokal"), HasSubstr("\"local\"?"));
  EXPECT_THAT(ErrorWith("/ffn", "relu"), HasSubstr("\"ffn\""));
  EXPECT_THAT(ErrorWith("/qk_norm", "before"), HasSubstr("\"before_rope\"?"));
  EXPECT_THAT(ErrorWith("/active_experts", 2), HasSubstr("active_experts"));
  EXPECT_THAT(ErrorWith("/norm_eps", 0), HasSubstr("norm_eps"));
  EXPECT_THAT(ErrorWith("/local/variant", "ratention"),
              HasSubstr("\"rattention\"?"));
  EXPECT_THAT(ErrorWith("/local/window_keys", 0), HasSubstr("rattention"));
  EXPECT_THAT(ErrorWith("/local/window_keys", -5), HasSubstr("window_keys"));
  EXPECT_THAT(ErrorWith("/local/rope_layout", "x"), HasSubstr("rope_layout"));
}

TEST(ModelConfig, RefusesCountsOfWeightsBeyond64Bits) {
  Json json = SmallModel();
  json["layers"] = json["experts"] = 1 << 14;
  json["d_model"] = 1 << 20;
  json["ffn_dim"] = 1 << 22;
  EXPECT_THAT(ErrorOf(json), HasSubstr("weights"));
}

TEST(ModelConfig, AKindInThePatternMustBeDescribed) {
  Json json = SmallModel();
  json.erase("local");
  EXPECT_THAT(ErrorOf(json), HasSubstr("key \"local\" is missing"));
  json["pattern"] = {"global"};
  EXPECT_EQ(ErrorOf(json), "");
}

TEST(ModelConfig, UnknownNamesGetTheNearestOne) {
  try {
    LoadModelConfig("mistral7b");
    FAIL();
  } catch (const UserError& e) {
    EXPECT_THAT(e.what(), HasSubstr("did you mean \"mistral-7b\"?"));
  }
  EXPECT_THROW(LoadModelConfig("no/such/model.json"), UserError);
}

}  // namespace
}  // namespace rattn
