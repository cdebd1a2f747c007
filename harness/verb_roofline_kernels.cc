#include "harness/verb_roofline_kernels.h"

#include <fmt/format.h>

#include <algorithm>

#include "harness/kernel_roofline_cases.h"
#include "harness/model_flags.h"
#include "harness/text_format.h"
#include "harness/verb_functions.h"
#include "models/error.h"
#include "models/json_fields.h"

namespace rattn {
namespace {

constexpr const char* kPublished = "attention-h100";

struct OnHardware {
  std::string name;  // as it was given
  Hardware hardware;
  CompiledKernels compiled;
  std::vector<KernelPoint> points;
};

// The published row beside the same problem of ours.
struct Beside {
  PublishedRow row;
  KernelEstimate ours;
};

OnHardware LoadGpu(const std::string& name) {
  OnHardware on;
  on.name = name;
  on.hardware = LoadHardware(name);
  if (!on.hardware.gpu) {
    throw UserError(fmt::format(
        "{} ({}) says nothing about multiprocessors: --kernels needs \"gpu\" "
        "in its file, as configs/hardware/h100-sxm.json has it",
        name, on.hardware.name));
  }
  on.compiled = LoadCompiledKernels(on.hardware.gpu->compute_capability);
  return on;
}

std::vector<Beside> BesidePublished(const OnHardware& on,
                                    const PublishedFigures& published) {
  std::vector<Beside> all;
  const auto& same = published.same_chip;
  if (published.hardware != on.name &&
      std::find(same.begin(), same.end(), on.name) == same.end()) {
    return all;
  }
  for (const PublishedRow& row : published.rows) {
    all.push_back({row, EstimateKernels(ProblemOf(published, row), on.hardware,
                                        on.compiled)});
  }
  return all;
}

double Tokens(const KernelPoint& point) {
  return static_cast<double>(point.problem.shape.batch) *
         static_cast<double>(point.problem.shape.query_len);
}

std::string Percent(double share) {
  return fmt::format("{:.0f} %", 100 * share);
}

void PrintTimes(const OnHardware& on) {
  TextTable table({"mixer", "phase", "context", "batch", "at best", "roofline",
                   "tail", "launches", "throughput", "useful", "of peak"},
                  {0, 1});
  for (const KernelPoint& p : on.points) {
    std::vector<std::string> row = {MixerText(p.variant, p.window_keys),
                                    p.phase,
                                    WithCommas(p.problem.shape.query_len),
                                    WithCommas(p.problem.shape.batch)};
    if (!p.skipped.empty()) {
      row.push_back(p.skipped);
      row.resize(11);
    } else {
      const KernelEstimate& e = p.estimate;
      const double flops = e.useful_flops / e.seconds();
      for (std::string text :
           {FormatSi(e.seconds(), "s"), FormatSi(e.roofline_seconds, "s"),
            FormatSi(e.tail_seconds, "s"), FormatSi(e.launch_seconds, "s"),
            FormatSi(Tokens(p) / e.seconds(), "tok/s"),
            FormatSi(flops, "FLOP/s"),
            Percent(flops / on.hardware.bf16_flops)}) {
        row.push_back(std::move(text));
      }
    }
    table.Add(row);
  }
  fmt::print("{}\n", table.Plain());
}

// Every kernel once, with the launch that takes most shared memory.
std::map<std::string, const LaunchEstimate*> KernelsOf(const OnHardware& on) {
  std::map<std::string, const LaunchEstimate*> kernels;
  for (const KernelPoint& point : on.points) {
    for (const LaunchEstimate& e : point.estimate.launches) {
      const LaunchEstimate*& kept = kernels[e.launch.kernel];
      if (kept == nullptr ||
          kept->launch.shape.shared_bytes < e.launch.shape.shared_bytes) {
        kept = &e;
      }
    }
  }
  return kernels;
}

void PrintOccupancy(const OnHardware& on) {
  TextTable table({"kernel", "registers", "spilled", "shared", "threads",
                   "blocks/SM", "occupancy", "limited by"},
                  {0, 7});
  for (const auto& [name, e] : KernelsOf(on)) {
    table.Add(
        {name, fmt::format("{}", e->resources.registers),
         FormatBytes(e->resources.spill_bytes),
         FormatBytes(e->resources.shared_bytes + e->launch.shape.shared_bytes),
         fmt::format("{}", e->launch.threads),
         fmt::format("{}", e->occupancy.blocks), Percent(e->occupancy.threads),
         e->occupancy.limit});
  }
  fmt::print("{}\n", table.Plain());
}

void PrintLaunches(const KernelPoint& point) {
  TextTable table({"launch", "blocks", "waves", "FLOPs", "exponentials",
                   "bytes", "bound by", "tail"},
                  {0, 6});
  for (const LaunchEstimate& e : point.estimate.launches) {
    table.Add({e.launch.kernel, WithCommas(e.launch.blocks()),
               fmt::format("{:.2f}", e.waves), FormatSi(e.flops_seconds, "s"),
               FormatSi(e.exps_seconds, "s"), FormatSi(e.bytes_seconds, "s"),
               e.Bound(), FormatSi(e.tail_seconds, "s")});
  }
  fmt::print("{}\n", table.Plain());
}

void PrintPublished(const PublishedFigures& published,
                    const std::vector<Beside>& rows) {
  if (rows.empty()) return;
  std::vector<std::string> header = {"context", "batch", "ours at best"};
  for (const auto& [name, flops] : rows.front().row.flops) {
    header.push_back(name);
  }
  TextTable table(header, {});
  for (const Beside& b : rows) {
    std::vector<std::string> row = {
        WithCommas(b.row.context), WithCommas(b.row.batch),
        FormatSi(b.ours.useful_flops / b.ours.seconds(), "FLOP/s")};
    for (const auto& [name, flops] : b.row.flops) {
      row.push_back(FormatSi(flops, "FLOP/s"));
    }
    table.Add(row);
  }
  fmt::print(
      "{} attention, forward, {} heads of {}: what ours could reach beside "
      "what others measured\n({})\n\n{}\n",
      published.variant, published.query_heads, published.head_dim,
      published.source, table.Plain());
}

void PrintText(const KernelRooflineFlags& flags, const OnHardware& on,
               const PublishedFigures& published) {
  fmt::print(
      "{}: CUDA kernels at best, estimated, not measured; bf16, {} query and "
      "{} KV heads of {}\n{}\nassumed: {} between launches; compiled by {}\n\n",
      on.hardware.name, flags.model.query_heads, flags.model.kv_heads,
      flags.model.head_dim, kKernelRooflineLeavesOut,
      FormatSi(on.hardware.gpu->launch_seconds, "s"), on.compiled.compiler);
  PrintTimes(on);
  if (on.points.size() == 1) PrintLaunches(on.points.front());
  PrintOccupancy(on);
  PrintPublished(published, BesidePublished(on, published));
}

Json ToJson(const LaunchEstimate& e) {
  const cuda::PlannedLaunch& launch = e.launch;
  return {
      {"kernel", launch.kernel},
      {"threads", launch.threads},
      {"blocks", launch.blocks()},
      {"shared_bytes", launch.shape.shared_bytes + e.resources.shared_bytes},
      {"registers", e.resources.registers},
      {"spill_bytes", e.resources.spill_bytes},
      {"blocks_per_sm", e.occupancy.blocks},
      {"occupancy", e.occupancy.threads},
      {"occupancy_limit", e.occupancy.limit},
      {"flops", launch.work.flops},
      {"exps", launch.work.exps},
      {"bytes", launch.work.bytes},
      {"requested_bytes", launch.work.requested_bytes},
      {"flops_seconds", e.flops_seconds},
      {"exps_seconds", e.exps_seconds},
      {"bytes_seconds", e.bytes_seconds},
      {"tail_seconds", e.tail_seconds},
      {"waves", e.waves},
      {"bound", e.Bound()}};
}

Json ToJson(const KernelEstimate& e, bool launches) {
  Json json = {{"seconds", e.seconds()},
               {"roofline_seconds", e.roofline_seconds},
               {"tail_seconds", e.tail_seconds},
               {"launch_seconds", e.launch_seconds},
               {"useful_flops", e.useful_flops}};
  if (!launches) return json;
  json["launches"] = Json::array();
  for (const LaunchEstimate& one : e.launches) {
    json["launches"].push_back(ToJson(one));
  }
  return json;
}

Json ToJson(const OnHardware& on, const PublishedFigures& published) {
  Json cells = Json::array(), rows = Json::array();
  for (const KernelPoint& p : on.points) {
    const Shape& s = p.problem.shape;
    Json cell = {{"hardware", on.name},
                 {"variant", p.variant},
                 {"window_keys", p.window_keys ? Json(*p.window_keys) : Json()},
                 {"phase", p.phase},
                 {"context", s.query_len},
                 {"batch", s.batch},
                 {"query_heads", s.query_heads},
                 {"kv_heads", s.kv_heads},
                 {"head_dim", s.head_dim},
                 {"dtype", "bf16"}};
    if (p.skipped.empty()) {
      cell["throughput"] = Tokens(p) / p.estimate.seconds();
      cell["estimate"] = ToJson(p.estimate, true);
    } else {
      cell["skipped"] = p.skipped;
    }
    cells.push_back(std::move(cell));
  }
  for (const Beside& b : BesidePublished(on, published)) {
    rows.push_back({{"context", b.row.context},
                    {"batch", b.row.batch},
                    {"published_flops", b.row.flops},
                    {"ours", ToJson(b.ours, false)}});
  }
  return {{"hardware", PrintFields(on.hardware)},
          {"compiler", on.compiled.compiler},
          {"predictions", cells},
          {"published_source", published.source},
          {"published", rows}};
}

}  // namespace

int RunKernelRoofline(const KernelRooflineFlags& flags) {
  const PublishedFigures published = LoadPublished(kPublished);
  Json all = Json::array();
  for (const std::string& name : flags.hardware) {
    OnHardware on = LoadGpu(name);
    on.points = KernelPoints(flags);
    EstimateOn(on.hardware, on.compiled, &on.points);
    if (flags.json) {
      all.push_back(ToJson(on, published));
    } else {
      PrintText(flags, on, published);
    }
  }
  if (flags.json) {
    const Json json = {{"model", flags.model.name},
                       {"not_modelled", kKernelRooflineLeavesOut},
                       {"gpus", all}};
    fmt::print("{}\n", json.dump(2));
  }
  return kExitDone;
}

}  // namespace rattn
