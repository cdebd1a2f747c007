// Kernel cells: one mixer call on random inputs, checked and then timed.
#include <fmt/format.h>
#include <omp.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <memory>

#include "harness/device_measure.h"
#include "harness/kernel_call.h"
#include "harness/kernel_cells.h"
#include "harness/kernel_check.h"
#include "harness/kernel_tiles.h"
#include "harness/kind_fields.h"
#include "harness/kinds.h"
#include "harness/machine.h"
#include "harness/measure.h"
#include "harness/mixer_fields.h"
#include "harness/process_memory.h"
#include "harness/text_format.h"
#include "harness/train_fields.h"
#include "kernels/cost.h"
#include "models/error.h"

namespace rattn {
namespace {

struct PhaseName {
  const char* name;
  Phase phase;
};
constexpr std::array kPhases = {
    PhaseName{"forward", Phase::kForward}, PhaseName{"train", Phase::kTrain},
    PhaseName{"extend", Phase::kExtend}, PhaseName{"decode", Phase::kDecode}};

Phase PhaseOf(const std::string& name) {
  return std::find_if(kPhases.begin(), kPhases.end(),
                      [&](const PhaseName& p) { return p.name == name; })
      ->phase;
}

const Fields& KernelFields() {
  using enum FieldType;
  static const Fields fields = Join({
      MixerFields("rattention", nullptr),
      {{"phase", kText, "forward", true, false,
        "forward, train, extend or decode"},
       {"context", kNatural, 4096, true, false,
        "tokens of the sequence; for extend and decode those in the cache"},
       {"batch", kCount, 1, true, false, "sequences"},
       {"query_heads", kCount, 8, true, false, "query heads"},
       {"kv_heads", kCount, 2, true, false, "key-value heads"},
       {"head_dim", kCount, 128, true, false, "dimension of a head"},
       {"dtype", kText, "bf16", true, false, "fp32, bf16 or fp64"},
       {"backend", kText, "cpu", true, false, "backend"},
       {"threads", kNatural, 0, true, false, "0 = one per core"},
       {"new_tokens", kCount, 512, false, false, "tokens of an extend call"},
       {"rope", kFlag, false, false, false, "rotary positions"},
       {"chunk", kNatural, 0, false, false,
        "tokens of a linear-attention chunk; 0 = the backend's choice"},
       {"state_every", kNatural, 0, false, false,
        "chunks between kept states; 0 = the backend's choice"},
       {"absorb_every", kNatural, 0, false, false,
        "decode: tokens that a state takes in at a time; 0 = the default"},
       {"separate_keys", kFlag, false, false, false,
        "extend and decode with rope: unrotated keys are kept for the memory, "
        "not recovered"},
       {"cold", kFlag, false, false, false,
        "extend and decode: rotate caches larger than the last-level cache; on "
        "a GPU, any phase: overwrite the L2 cache before each call"},
       {"seed", kNatural, 0, false, false, "of the inputs"},
       {"min_samples", kCount, 7, false, false, "least number of samples"},
       {"max_samples", kCount, 200, false, false, "largest number of samples"},
       {"noise", kPositive, 0.01, false, false,
        "relative noise of the median to reach"},
       {"max_seconds", kPositive, 3.0, false, false, "of all samples"}},
  });
  return fields;
}

KernelCase CaseOf(const Json& values) {
  KernelCase kernel;
  Problem& p = kernel.problem;
  p.spec = MixerOf(values, "kernel");
  p.phase = PhaseOf(values.at("phase"));
  const int64_t context = values.at("context");
  kernel.context = UsesCache(p.phase) ? context : 0;
  const int64_t tokens = p.phase == Phase::kDecode ? 1
                         : p.phase == Phase::kExtend
                             ? values.at("new_tokens").get<int64_t>()
                             : context;
  p.shape = {values.at("batch"),
             values.at("query_heads"),
             values.at("kv_heads"),
             tokens,
             tokens,
             values.at("head_dim"),
             values.at("head_dim")};
  p.dtype = ParseDtype(values.at("dtype"));
  p.positions.rope = values.at("rope");
  p.tiling = {values.at("chunk"), values.at("state_every"),
              values.at("absorb_every")};
  const int threads = values.at("threads");
  p.threads = threads > 0 ? threads : omp_get_num_procs();
  kernel.seed = values.at("seed");
  kernel.separate_keys = values.at("separate_keys");
  return kernel;
}

void Normalize(Json& values, const std::string& origin) {
  NormalizeMixer(values, origin);
  std::vector<std::string> phases;
  for (const PhaseName& phase : kPhases) phases.emplace_back(phase.name);
  CheckNamed(values, "phase", phases, origin);
  CheckNamed(values, "dtype", {"fp32", "bf16", "fp64"}, origin);
  CheckNamed(values, "backend", BackendNames(/*with_aten=*/false), origin);
  CheckThreads(values, origin);
  // What a phase does not use must not make two cells of one measurement.
  if (values["phase"] != "extend") values["new_tokens"] = 1;
  if (values["phase"] != "decode") values["absorb_every"] = 0;
  const Phase phase = PhaseOf(values["phase"]);
  if (!UsesCache(phase)) values["separate_keys"] = false;
  if (!UsesCache(phase) && !RunsOnDevice(values["backend"])) {
    values["cold"] = false;
  }
  if (!UsesCache(phase) && values["context"] == 0) {
    throw UserError(origin + ": context must be at least 1, not 0");
  }
  const KernelCase kernel = CaseOf(values);
  if (const Support support = CheckProblem(kernel.problem); !support.ok()) {
    throw UserError(fmt::format("{}: {}", origin, support.reason));
  }
}

// Caches to go round so that none is left in the last-level cache.
int64_t ColdCaches(size_t cache_bytes) {
  const int64_t bytes = std::max<int64_t>(static_cast<int64_t>(cache_bytes), 1);
  return std::clamp<int64_t>(ColdBytes() / bytes + 1, 1, 4096);
}

Cost CostOf(const KernelCase& kernel) {
  Cost cost = ForwardCost(kernel.problem, kernel.context);
  if (kernel.problem.phase == Phase::kTrain) {
    const Cost backward = BackwardCost(kernel.problem);
    cost.useful_flops += backward.useful_flops;
    cost.executed_flops += backward.executed_flops;
    cost.exps += backward.exps;
    cost.bytes += backward.bytes;
  }
  return cost;
}

// One backend's share of a comparison.
class Subject {
 public:
  Subject(const Json& values, const KernelInputs& inputs)
      : kernel_(CaseOf(values)) {
    std::string reason;
    const Backend* backend =
        FindBackend(values.at("backend").get<std::string>(), &reason);
    if (backend == nullptr) {
      result_ = CellResult::Skipped(reason);
      return;
    }
    const Support support = backend->Supports(kernel_.problem);
    if (!support.ok()) {
      result_ = CellResult::Skipped(support.reason);
      return;
    }
    Prepare(values, *backend, inputs);
  }

  bool ready() const {
    return call_ != nullptr && result_.status == CellStatus::kDone;
  }
  bool on_device() const { return timer_ != nullptr; }
  Contender contender(const std::string& name) {
    return {name, [this] { call_->Run(); }, call_->Period()};
  }
  void MeasureOnItsDevice(const StopRule& rule);
  void Finish(const Samples& samples);
  CellResult& result() { return result_; }

 private:
  void Prepare(const Json& values, const Backend& backend,
               const KernelInputs& inputs) {
    const int64_t before = CurrentMemory();
    const bool own_peak = ResetPeakMemory();
    call_ = std::make_unique<KernelCall>(kernel_, backend, inputs);
    call_->Run();
    const int64_t peak = PeakMemory();
    result_.detail = {
        {"threads", kernel_.problem.threads},
        {"peak_memory_bytes", peak},
        {"peak_memory_of", own_peak ? "inputs and calls" : "whole process"},
        {"memory_before_bytes", before},
        {"cache_bytes", call_->CacheBytes()},
        {"workspace_bytes", backend.WorkspaceBytes(kernel_.problem)},
        {"backend", backend.description()}};
    AddTiles(kernel_.problem, backend, &result_.detail);
    // A fresh one: in cached phases the first call changed the state.
    call_ = std::make_unique<KernelCall>(kernel_, backend, inputs);
    const KernelCheck check =
        CheckKernel(kernel_, backend, inputs, call_.get());
    result_.check = ToJson(check);
    if (!check.ok()) {
      result_.status = CellStatus::kFailed;
      result_.reason = fmt::format(
          "not timed: {} is wrong, relative RMSE {:.3g} above the limit {:.3g}",
          check.worst_tensor, check.worst_error, check.limit);
      return;
    }
    timer_ = backend.timer();
    cold_ = values.at("cold");
    if (cold_ && !on_device()) {
      const int64_t caches = ColdCaches(call_->CacheBytes());
      call_ = std::make_unique<KernelCall>(kernel_, backend, inputs, caches);
      result_.detail["caches"] = caches;
    }
  }

  KernelCase kernel_;
  std::unique_ptr<KernelCall> call_;
  const DeviceTimer* timer_ = nullptr;
  bool cold_ = false;
  CellResult result_;
};

void Subject::MeasureOnItsDevice(const StopRule& rule) {
  std::string error;
  const auto call =
      timer_->Bring(kernel_.problem, call_->buffers(), call_->cache(), &error);
  if (call == nullptr) {
    result_.status = CellStatus::kFailed;
    result_.reason = fmt::format("{}: {}", timer_->name(), error);
    return;
  }
  try {
    const DeviceSamples measured = MeasureOnDevice(*timer_, *call, rule, cold_);
    result_.detail["device"] = timer_->name();
    result_.detail["clocks"] = ClocksJson(measured);
    Finish(measured.samples);
  } catch (const RunError& failure) {
    result_.status = CellStatus::kFailed;
    result_.reason = failure.what();
  }
}

void Subject::Finish(const Samples& samples) {
  const Summary summary = Summarize(samples.seconds);
  const double time = summary.median;
  const Cost cost = CostOf(kernel_);
  const Shape& s = kernel_.problem.shape;
  const double tokens = static_cast<double>(s.batch * s.query_len);
  result_.metrics = {
      {"time", time, "s", Better::kLower},
      {"throughput", tokens / time, "tokens/s", Better::kHigher},
      {"useful_flops", cost.useful_flops / time, "FLOP/s", Better::kHigher},
      {"executed_flops", cost.executed_flops / time, "FLOP/s",
       Better::kNeither},
      {"bandwidth", cost.bytes / time, "B/s", Better::kHigher}};
  result_.stats = ToJson(summary, samples.stopped_by);
  result_.samples.assign(samples.seconds.begin(), samples.seconds.end());
  result_.detail["calls_per_sample"] = samples.calls;
  result_.detail["useful_flop"] = cost.useful_flops;
  result_.detail["executed_flop"] = cost.executed_flops;
  result_.detail["bytes"] = cost.bytes;
}

// Empty if the call may fit: known before a minute goes into filling memory.
std::string MemoryMissing(const KernelCase& kernel) {
  const double needed = LeastBytes(kernel);
  const double available = static_cast<double>(AvailableMemory());
  if (available == 0 || needed < available) return "";
  return fmt::format(
      "inputs and outputs take {}, {} are free: choose a shorter context, "
      "fewer heads or a smaller head dim",
      FormatBytes(needed), FormatBytes(available));
}

StopRule RuleOf(const Json& values) {
  StopRule rule;
  rule.min_samples = values.at("min_samples");
  rule.max_samples =
      std::max(values.at("max_samples").get<int64_t>(), rule.min_samples);
  rule.noise = values.at("noise");
  rule.max_seconds = values.at("max_seconds");
  return rule;
}

CellResult Run(const Cell& cell, const CellContext&) {
  return std::move(RunKernelCells(std::span(&cell, 1)).front());
}

}  // namespace

std::vector<CellResult> RunKernelCells(std::span<const Cell> cells) {
  const Json values = ValuesOf(cells.front());
  const KernelCase kernel = CaseOf(values);
  if (const std::string reason = MemoryMissing(kernel); !reason.empty()) {
    return {cells.size(), CellResult::Skipped(reason)};
  }
  const KernelInputs inputs(kernel);
  std::vector<std::unique_ptr<Subject>> subjects;
  std::vector<Contender> contenders;
  for (const Cell& cell : cells) {
    subjects.push_back(std::make_unique<Subject>(ValuesOf(cell), inputs));
    if (subjects.back()->ready() && !subjects.back()->on_device()) {
      contenders.push_back(subjects.back()->contender(cell.id));
    }
  }
  const std::vector<Samples> samples =
      contenders.empty() ? std::vector<Samples>()
                         : MeasureInterleaved(contenders, RuleOf(values));
  std::vector<CellResult> results;
  size_t next = 0;
  for (auto& subject : subjects) {
    if (subject->ready() && subject->on_device()) {
      subject->MeasureOnItsDevice(RuleOf(values));
    } else if (subject->ready()) {
      subject->Finish(samples[next++]);
    }
    results.push_back(std::move(subject->result()));
  }
  return results;
}

const CellKind& KernelCellKind() {
  static const CellKind kind = {
      "kernel",  "checks and times one mixer call", KernelFields,
      Normalize, [](const Cell&) { return true; },  nullptr,
      Run};
  return kind;
}

}  // namespace rattn
