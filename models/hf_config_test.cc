#include "models/hf_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <string>

#include "models/error.h"
#include "models/json_fields.h"

namespace rattn {
namespace {

using testing::HasSubstr;

// The keys that all families share, with `architecture` and more.
Json Config(const std::string& architecture, const std::string& more) {
  Json json = ParseJsonText(R"({"vocab_size": 100, "hidden_size": 64,
      "num_hidden_layers": 12, "num_attention_heads": 4,
      "num_key_value_heads": 2, "intermediate_size": 96,
      "max_position_embeddings": 4096, "rms_norm_eps": 1e-5})",
                            "base");
  json["architectures"] = {architecture};
  json.update(ParseJsonText(more, "more"));
  return json;
}

ModelConfig Parsed(const std::string& architecture, const std::string& more) {
  return ParseHfConfig(Config(architecture, more).dump(), "c.json", "m").config;
}

std::string ErrorOf(const Json& json) {
  try {
    ParseHfConfig(json.dump(), "c.json", "m");
  } catch (const UserError& error) {
    return error.what();
  }
  return "";
}

TEST(HfConfig, LlamaThreeScalesItsFrequencies) {
  const ModelConfig c = Parsed("LlamaForCausalLM", R"({"rope_theta": 500000.0,
      "rope_scaling": {"rope_type": "llama3", "factor": 32.0,
        "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192}})");
  EXPECT_EQ(c.pattern, std::vector<std::string>{"global"});
  EXPECT_EQ(c.head_dim, 16);
  EXPECT_EQ(c.max_length, 4096);
  EXPECT_FALSE(c.tied_embeddings);
  const Positions positions = LayerProblem(c, 0).positions;
  EXPECT_EQ(positions.theta, 5e5);
  EXPECT_EQ(positions.scaling.kind, RopeScalingKind::kLlama3);
  // Waves of 8192 / 4 tokens and shorter stay, those from 8192 tokens on are
  // slowed down by the factor.
  const double turn = 2 * std::acos(-1.0);
  EXPECT_DOUBLE_EQ(ScaledFrequency(positions.scaling, turn / 2000),
                   turn / 2000);
  EXPECT_DOUBLE_EQ(ScaledFrequency(positions.scaling, turn / 9000),
                   turn / 9000 / 32);
  const double between = ScaledFrequency(positions.scaling, turn / 4096);
  EXPECT_NEAR(between, turn / 4096 * (2.0 / 3 / 32 + 1.0 / 3), 1e-12);
}

TEST(HfConfig, MistralWindowsAllLayersOrNone) {
  const ModelConfig c =
      Parsed("MistralForCausalLM", R"({"sliding_window": 7})");
  EXPECT_EQ(c.pattern, std::vector<std::string>{"local"});
  EXPECT_EQ(LayerProblem(c, 0).spec.local.window_keys, 7);
  EXPECT_EQ(Parsed("MistralForCausalLM", R"({"sliding_window": null})").pattern,
            std::vector<std::string>{"global"});
}

TEST(HfConfig, MixtralHasExperts) {
  const ModelConfig c = Parsed(
      "MixtralForCausalLM",
      R"({"num_local_experts": 4, "num_experts_per_tok": 2, "rope_theta": 1e6})");
  EXPECT_EQ(c.experts, 4);
  EXPECT_EQ(c.active_experts, 2);
  EXPECT_EQ(c.global.rope_theta, 1e6);
}

TEST(HfConfig, GemmaTwoAlternatesAndCaps) {
  const ModelConfig c = Parsed(
      "Gemma2ForCausalLM",
      R"({"sliding_window": 8, "query_pre_attn_scalar": 144, "head_dim": 32,
          "hidden_activation": "gelu_pytorch_tanh",
          "attn_logit_softcapping": 50.0, "final_logit_softcapping": null})");
  EXPECT_TRUE(IsLocalLayer(c, 0));
  EXPECT_FALSE(IsLocalLayer(c, 1));
  EXPECT_TRUE(c.post_norms);
  EXPECT_TRUE(c.tied_embeddings);
  EXPECT_EQ(c.ffn, "geglu");
  EXPECT_DOUBLE_EQ(c.embedding_scale, 8);
  EXPECT_DOUBLE_EQ(LayerProblem(c, 0).local_scale, 1.0 / 12);
  EXPECT_EQ(LayerProblem(c, 0).local_softcap, 50);
  EXPECT_EQ(c.logit_softcap, 0);
}

TEST(HfConfig, GemmaThreeHasTwoRopeBases) {
  const std::string keys =
      R"({"sliding_window": 512, "hidden_activation": "gelu_pytorch_tanh",
          "rope_theta": 1000000.0, "rope_local_base_freq": 10000.0,
          "rope_scaling": {"rope_type": "linear", "factor": 8.0}})";
  const ModelConfig c = Parsed("Gemma3ForCausalLM", keys);
  EXPECT_EQ(c.pattern.size(), 6u);
  EXPECT_TRUE(IsLocalLayer(c, 4));
  EXPECT_FALSE(IsLocalLayer(c, 5));
  EXPECT_EQ(c.qk_norm, "before_rope");
  const Problem local = LayerProblem(c, 0), global = LayerProblem(c, 5);
  EXPECT_EQ(local.positions.theta, 1e4);
  EXPECT_EQ(local.positions.scaling.kind, RopeScalingKind::kNone);
  EXPECT_EQ(global.positions.theta, 1e6);
  EXPECT_EQ(global.positions.scaling.factor, 8);
  // The language model's part of a multimodal config, in later spelling.
  Json outer = Json::object();
  outer["architectures"] = {"Gemma3ForConditionalGeneration"};
  Json inner = Config("unused", keys);
  for (const char* key :
       {"rope_scaling", "rope_theta", "rope_local_base_freq"}) {
    inner.erase(key);
  }
  inner["rope_parameters"] = ParseJsonText(
      R"({"full_attention": {"rope_type": "linear", "factor": 8.0,
                             "rope_theta": 1000000.0},
          "sliding_attention": {"rope_type": "default",
                                "rope_theta": 10000.0}})",
      "rope");
  outer["text_config"] = inner;
  const ModelConfig later = ParseHfConfig(outer.dump(), "c.json", "m").config;
  EXPECT_EQ(later.pattern, c.pattern);
  EXPECT_EQ(later.local, c.local);
  EXPECT_EQ(later.global, c.global);
}

TEST(HfConfig, QwenHasBiasesOrNorms) {
  const ModelConfig two =
      Parsed("Qwen2ForCausalLM",
             R"({"use_sliding_window": false, "sliding_window": 4096,
          "max_window_layers": 6, "tie_word_embeddings": true})");
  EXPECT_TRUE(two.qkv_bias);
  EXPECT_FALSE(two.attention_out_bias);
  EXPECT_EQ(two.pattern, std::vector<std::string>{"global"});
  const ModelConfig windowed =
      Parsed("Qwen2ForCausalLM",
             R"({"use_sliding_window": true, "sliding_window": 16,
          "max_window_layers": 6})");
  EXPECT_FALSE(IsLocalLayer(windowed, 5));
  EXPECT_TRUE(IsLocalLayer(windowed, 6));
  const ModelConfig three =
      Parsed("Qwen3ForCausalLM", R"({"head_dim": 32, "sliding_window": null})");
  EXPECT_EQ(three.qk_norm, "before_rope");
  EXPECT_EQ(three.head_dim, 32);
}

TEST(HfConfig, ErrorsNameTheFileTheKeyAndWhatIsKnown) {
  EXPECT_THAT(ErrorOf(Config("PhiForCausalLM", "{}")),
              testing::AllOf(HasSubstr("c.json"), HasSubstr("PhiForCausalLM"),
                             HasSubstr("LlamaForCausalLM"),
                             HasSubstr("Gemma3ForCausalLM")));
  Json json = Config("LlamaForCausalLM", "{}");
  json.erase("hidden_size");
  EXPECT_THAT(ErrorOf(json), HasSubstr("\"hidden_size\" is missing"));
  const auto with = [](const std::string& more) {
    return ErrorOf(Config("LlamaForCausalLM", more));
  };
  EXPECT_THAT(with(R"({"hidden_act": "relu"})"), HasSubstr("relu"));
  EXPECT_THAT(with(R"({"mlp_bias": true})"), HasSubstr("mlp_bias"));
  EXPECT_THAT(with(R"({"rope_scaling": {"rope_type": "yarn"}})"),
              HasSubstr("yarn"));
  EXPECT_THAT(with(R"({"vocab_size": "many"})"), HasSubstr("vocab_size"));
  EXPECT_THAT(with(R"({"num_hidden_layers": 100000000})"),
              HasSubstr("num_hidden_layers"));
  EXPECT_THAT(with(R"({"num_attention_heads": 0})"),
              HasSubstr("num_attention_heads"));
  EXPECT_THAT(with(R"({"layer_types": ["full_attention"]})"),
              HasSubstr("layer_types"));
  EXPECT_THAT(with(R"({"num_key_value_heads": 3})"), HasSubstr("kv_heads"));
}

}  // namespace
}  // namespace rattn
