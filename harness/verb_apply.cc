// rattn apply: one mixer on tensors from a file (harness/apply.h).
#include <fmt/format.h>

#include <filesystem>
#include <memory>

#include "harness/apply.h"
#include "harness/verb_functions.h"
#include "models/error.h"
#include "models/json_fields.h"

namespace rattn {
namespace {

constexpr const char* kTensors = R"(

Tensors of --in (any float dtype):
  q [batch, queries, heads, dim]   k, v [batch, keys, kv_heads, dim]
  optional: q_memory, k_memory (as q and k), sink_logit [heads],
    norm_local, norm_memory [heads, dim],
    initial_state [batch, kv_heads or heads, features, dim]
  --phase train: do (as the output), optional dfinal_state
Tensors of --out:
  o, final_state (with a memory), lse and max_logits [batch, queries, heads]
    (with a local branch)
  --phase train: o_local, o_memory (before their norms), and dX of every X)";

struct ApplyVerbOptions {
  ApplyOptions apply;
  std::string in, out;
  bool json = false;
};

int RunApply(const ApplyVerbOptions& options) {
  std::error_code none;
  if (std::filesystem::equivalent(options.in, options.out, none)) {
    throw UserError(
        fmt::format("--out '{}' is the input: name another file", options.out));
  }
  const std::vector<std::string> notes =
      ApplyFile(options.apply, options.in, options.out);
  if (options.json) {
    const Json json = {{"out", options.out}, {"notes", notes}};
    fmt::print("{}\n", json.dump(2));
    return kExitDone;
  }
  for (const std::string& note : notes) fmt::print("{}\n", note);
  fmt::print("wrote {}\n", options.out);
  return kExitDone;
}

void AddSpecFlags(CLI::App& app, ApplyOptions* apply) {
  app.add_option("--local", apply->local, "kind of the local branch");
  app.add_option("--sink-positions", apply->sink_positions,
                 "positions of sink keys");
  app.add_option("--memory", apply->memory, "kind of the memory branch");
  app.add_option("--feature-map", apply->feature_map,
                 "feature map of the memory");
  app.add_option("--normalizer", apply->normalizer, "normalizer of the memory");
  app.add_option("--reads", apply->reads, "what the memory reads");
  app.add_option("--combine", apply->combine, "how the branches are combined");
}

void AddCallFlags(CLI::App& app, ApplyOptions* apply) {
  app.add_option("--backend", apply->backend, "backend")->capture_default_str();
  app.add_option("--phase", apply->phase, "forward, train, extend or decode")
      ->capture_default_str();
  app.add_option("--dtype", apply->dtype, "fp64, fp32 or bf16")
      ->capture_default_str();
  app.add_option("--piece", apply->piece,
                 "tokens of a piece of extend; 0 = all at once")
      ->capture_default_str();
  app.add_option("--threads", apply->threads, "threads")->capture_default_str();
  app.add_option("--chunk", apply->tiling.chunk,
                 "tokens of a linear-attention chunk; 0 = the backend's");
  app.add_option("--state-every", apply->tiling.state_every,
                 "chunks between kept states; 0 = the backend's");
  app.add_option("--rope-theta", apply->rope_theta,
                 "base of the rotary angles of the local branch; 0 = none");
  app.add_option("--rope-layout", apply->rope_layout,
                 "half_split or interleaved")
      ->capture_default_str();
  app.add_option("--local-scale", apply->local_scale,
                 "of the scores; 0 = 1/sqrt(head dim)");
  app.add_option("--memory-scale", apply->memory_scale,
                 "of what the memory gives")
      ->capture_default_str();
}

}  // namespace

void AddApply(CLI::App& app, Action* action) {
  auto options = std::make_shared<ApplyVerbOptions>();
  ApplyOptions* apply = &options->apply;
  app.add_option("--variant", apply->variant, "variant of the catalog")
      ->required();
  app.add_option("--window", apply->params.window_keys,
                 "keys a query sees, itself included");
  app.add_option("--sinks", apply->params.sinks,
                 "leading keys that stay visible")
      ->check(kAtLeastZero);
  app.add_option("--in", options->in, "safetensors file with q, k, v, ...")
      ->required();
  app.add_option("--out", options->out, "safetensors file for the outputs")
      ->required();
  AddCallFlags(app, apply);
  AddSpecFlags(app, apply);
  app.add_flag("--json", options->json, "machine-readable output");
  app.footer(app.get_footer() + kTensors);
  *action = [options] { return RunApply(*options); };
}

}  // namespace rattn
