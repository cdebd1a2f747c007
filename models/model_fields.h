// The fields of a model config file (configs/models/*.json).
#pragma once

#include "models/model_config.h"

namespace rattn {

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
  visit.Optional("ffn", c.ffn, "swiglu or geglu");
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
}

}  // namespace rattn
