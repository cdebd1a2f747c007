// The fields of a model config file (configs/models/*.json).
#pragma once

#include "models/model_config.h"

namespace rattn {

template <typename Visitor>
void VisitFields(Visitor& visit, RopeScalingConfig& c) {
  visit.Required("kind", c.kind, "none, linear or llama3");
  visit.Optional("factor", c.factor, "divides the scaled frequencies");
  visit.Optional("low_frequency_factor", c.low_frequency_factor,
                 "llama3: waves in original_length below which all is scaled");
  visit.Optional("high_frequency_factor", c.high_frequency_factor,
                 "llama3: waves in original_length above which nothing is");
  visit.Optional("original_length", c.original_length,
                 "llama3: tokens of the unscaled model");
}

template <typename Visitor>
void VisitFields(Visitor& visit, MixerConfig& c) {
  visit.Required("variant", c.variant, "name of a variant in the catalog");
  visit.Optional("window_keys", c.window_keys,
                 "keys a query sees, itself included; 0 = takes no window");
  visit.Optional("sinks", c.sinks,
                 "leading keys that stay visible; -1 = the catalog's value");
  visit.Optional("rope", c.rope, "rotary positions on the local branch");
  visit.Optional("rope_theta", c.rope_theta, "base of the rotary angles");
  visit.Optional("rope_layout", c.rope_layout, "half_split or interleaved");
  visit.Added("rope_scaling", c.rope_scaling, {},
              "change of the rotary frequencies for longer texts");
}

template <typename Visitor>
void VisitFields(Visitor& visit, ModelConfig& c) {
  visit.Required("name", c.name, "name of the model");
  visit.Optional("source", c.source, "where the figures come from");
  visit.Required("vocab_size", c.vocab_size,
                 "tokens; 0 = not published (costs only, no training)");
  visit.Required("d_model", c.d_model, "width of the residual stream");
  visit.Required("layers", c.layers, "number of layers");
  visit.Required("pattern", c.pattern,
                 "kinds of layers, repeated: local or global");
  visit.Required("query_heads", c.query_heads, "query heads");
  visit.Required("kv_heads", c.kv_heads, "key-value heads");
  visit.Required("head_dim", c.head_dim, "dimension of a head");
  visit.Required("ffn_dim", c.ffn_dim, "width of the feed-forward block");
  visit.Optional("ffn", c.ffn, "swiglu, geglu (tanh) or geglu_erf");
  visit.Optional("experts", c.experts, "feed-forward blocks per layer");
  visit.Optional("active_experts", c.active_experts,
                 "feed-forward blocks used per token");
  visit.Optional("local", c.local, "mixer of the local layers");
  visit.Optional("global", c.global, "mixer of the global layers");
  visit.Optional("qk_norm", c.qk_norm, "none, before_rope or local_after_rope");
  visit.Optional("memory_qk_scale", c.memory_qk_scale,
                 "start of the memory branch's learned scales; 0 = none");
  visit.Optional("norm_eps", c.norm_eps, "epsilon of the RMS norms");
  visit.Optional("init_std", c.init_std, "deviation of initial weights");
  visit.Optional("embedding_std", c.embedding_std,
                 "deviation of initial embeddings; 0 = init_std");
  visit.Optional("tied_embeddings", c.tied_embeddings,
                 "output head = input embedding");
  visit.Optional("token_shift", c.token_shift,
                 "adds an embedding of the previous token to the input");
  visit.Added("post_norms", c.post_norms, false,
              "norms of the blocks' outputs, ahead of the residual sum");
  visit.Added("qkv_bias", c.qkv_bias, false, "biases of q, k and v");
  visit.Added("attention_out_bias", c.attention_out_bias, false,
              "bias of the attention's output");
  visit.Added("embedding_scale", c.embedding_scale, 1.0,
              "factor of the embeddings at the input");
  visit.Added("attention_scale", c.attention_scale, 0.0,
              "factor of the attention scores; 0 = 1/sqrt(head_dim)");
  visit.Added("attention_softcap", c.attention_softcap, 0.0,
              "c: scores s become c tanh(s / c); 0 = none");
  visit.Added("logit_softcap", c.logit_softcap, 0.0,
              "c: logits s become c tanh(s / c); 0 = none");
  visit.Added("max_length", c.max_length, int64_t{0},
              "positions the model was made for; 0 = not said");
}

}  // namespace rattn
