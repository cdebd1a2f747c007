// rattn memory: what the caches of a model take, by formula and measured.
#include <fmt/format.h>

#include <memory>

#include "harness/model_flags.h"
#include "harness/text_format.h"
#include "harness/verb_functions.h"
#include "kernels/nearest_name.h"
#include "models/error.h"
#include "models/json_fields.h"

namespace rattn {
namespace {

struct MemoryFlags {
  ModelFlags model;
  std::vector<int64_t> contexts = {4096};
  int64_t batch = 1;
  std::string measure = "layer";
  bool json = false;
};

MeasureMemory ParseMeasure(const std::string& name) {
  const std::vector<std::string> names = {"none", "layer", "all"};
  for (size_t i = 0; i < names.size(); ++i) {
    if (names[i] == name) return static_cast<MeasureMemory>(i);
  }
  throw UserError(
      fmt::format("--measure \"{}\"{}", name, NearestHint(name, names)));
}

Json OrNull(const std::optional<int64_t>& value) {
  return value ? Json(*value) : Json();
}

Json ReasonJson(const std::string& reason) {
  return reason.empty() ? Json() : Json(reason);
}

// Saved by the model's own layers, against full attention in all of them.
struct Savings {
  double keys_only, with_state, with_query_head_state;
};

Savings SavingsOf(const ModelMemory& m) {
  const double full = m.full_kv_bytes, kv = m.kv_bytes;
  return {SavedPercent(kv, full), SavedPercent(kv + m.state_bytes, full),
          SavedPercent(kv + m.state_bytes_per_query_head, full)};
}

template <typename T>
Json BytesJson(const T& m) {
  return {{"kv_bytes", m.kv_bytes},
          {"state_bytes", m.state_bytes},
          {"state_bytes_per_query_head", m.state_bytes_per_query_head},
          {"measured_kv_bytes", OrNull(m.measured_kv_bytes)},
          {"measured_state_bytes", OrNull(m.measured_state_bytes)},
          {"reason", ReasonJson(m.reason)}};
}

Json ToJson(const ModelMemory& memory) {
  Json layers = Json::array();
  for (const LayerKindMemory& kind : memory.kinds) {
    Json entry = {{"kind", kind.kind},
                  {"layers", kind.layers},
                  {"variant", kind.variant},
                  {"window_keys", OrNull(kind.window_keys)}};
    entry.update(BytesJson(kind));
    layers.push_back(entry);
  }
  const Savings saved = SavingsOf(memory);
  return {{"context", memory.options.context},
          {"layers", layers},
          {"total", BytesJson(memory)},
          {"full_kv_bytes", memory.full_kv_bytes},
          {"saved_percent",
           {{"keys_and_values", saved.keys_only},
            {"with_state", saved.with_state},
            {"with_state_per_query_head", saved.with_query_head_state}}},
          {"receptive_field", OrNull(memory.receptive_field)},
          {"prefill_chunks", OrNull(memory.prefill_chunks)}};
}

std::string BytesOrDash(const std::optional<int64_t>& bytes) {
  return bytes ? FormatBytes(*bytes) : "-";
}

template <typename T>
std::vector<std::string> BytesRow(std::string layers, std::string mixer,
                                  const T& m) {
  return {std::move(layers),          std::move(mixer),
          FormatBytes(m.kv_bytes),    BytesOrDash(m.measured_kv_bytes),
          FormatBytes(m.state_bytes), BytesOrDash(m.measured_state_bytes)};
}

std::string TableText(const ModelMemory& memory) {
  TextTable table(
      {"layers", "mixer", "keys+values", "measured", "states", "measured"},
      {0, 1});
  for (const LayerKindMemory& kind : memory.kinds) {
    table.Add(BytesRow(LayersText(kind),
                       MixerText(kind.variant, kind.window_keys), kind));
  }
  table.Add(BytesRow("total", "", memory));
  table.Add(
      {"full attention", "in every layer", FormatBytes(memory.full_kv_bytes)});
  return table.Plain();
}

void PrintSavings(const ModelMemory& memory) {
  const Savings saved = SavingsOf(memory);
  fmt::print("saved: {:.2f} % of keys and values", saved.keys_only);
  if (memory.state_bytes > 0) {
    fmt::print(
        "; {:.2f} % with the states ({} per KV head); {:.2f} % if states"
        " were kept per query head ({})",
        saved.with_state, FormatBytes(memory.state_bytes),
        saved.with_query_head_state,
        FormatBytes(memory.state_bytes_per_query_head));
  }
  fmt::print("\n");
}

void PrintContext(const ModelMemory& memory) {
  fmt::print("\ncontext {} tokens\n{}", WithCommas(memory.options.context),
             TableText(memory));
  PrintSavings(memory);
  if (memory.prefill_chunks) {
    fmt::print("prefill: {} chunks of one window\n",
               WithCommas(*memory.prefill_chunks));
  }
  if (!memory.reason.empty()) fmt::print("{}\n", memory.reason);
}

void PrintText(const ModelConfig& config, const MemoryFlags& flags,
               const std::vector<ModelMemory>& all) {
  const LayerKindMemory& first = all.front().kinds.front();
  fmt::print("{}: batch {}, {} keys and values, fp32 states ({})\n",
             config.name, flags.batch, flags.model.dtype, config.source);
  if (all.front().receptive_field) {
    fmt::print("receptive field of {} layers with {} keys: {} tokens\n",
               first.layers, WithCommas(*first.window_keys),
               WithCommas(*all.front().receptive_field));
  }
  for (const ModelMemory& memory : all) PrintContext(memory);
  if (ParseMeasure(flags.measure) == MeasureMemory::kLayer) {
    fmt::print(
        "\nmeasured: one layer of each kind was allocated, times the "
        "number of layers (--measure all holds them all)\n");
  }
}

int RunMemory(const MemoryFlags& flags) {
  const ModelConfig config = flags.model.Load();
  std::vector<ModelMemory> all;
  for (const int64_t context : flags.contexts) {
    all.push_back(
        ComputeMemory(config, {.context = context,
                               .batch = flags.batch,
                               .dtype = flags.model.CacheDtype(),
                               .measure = ParseMeasure(flags.measure)}));
  }
  if (!flags.json) {
    PrintText(config, flags, all);
    return kExitDone;
  }
  Json contexts = Json::array();
  for (const ModelMemory& memory : all) contexts.push_back(ToJson(memory));
  const Json json = {{"model", config.name},      {"source", config.source},
                     {"batch", flags.batch},      {"dtype", flags.model.dtype},
                     {"pattern", config.pattern}, {"measure", flags.measure},
                     {"contexts", contexts}};
  fmt::print("{}\n", json.dump(2));
  return kExitDone;
}

}  // namespace

void AddMemory(CLI::App& app, Action* action) {
  auto flags = std::make_shared<MemoryFlags>();
  flags->model.AddTo(app);
  app.add_option("--context", flags->contexts, "tokens cached, a list")
      ->delimiter(',')
      ->capture_default_str();
  app.add_option("--batch", flags->batch, "sequences")->capture_default_str();
  app.add_option("--measure", flags->measure,
                 "none, layer (allocates one layer of each kind) or all")
      ->capture_default_str();
  app.add_flag("--json", flags->json, "machine-readable output");
  *action = [flags] { return RunMemory(*flags); };
}

}  // namespace rattn
