#include "kernels/cpu/isa.h"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <string>

#include "kernels/cpu/amx.h"
#include "kernels/cpu/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/isa.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace rattn {
namespace HWY_NAMESPACE {
int64_t RunningTarget() { return HWY_TARGET; }
}  // namespace HWY_NAMESPACE
}  // namespace rattn
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace rattn {
namespace {

HWY_EXPORT(RunningTarget);

struct Isa {
  std::string_view name;
  int64_t target;
  TileUnit unit = TileUnit::kNone;
};

// The best first, as Highway orders its targets.
constexpr Isa kIsas[] = {{"amx", HWY_AVX3, TileUnit::kAmx},
                         {"avx512bf16", HWY_AVX3, TileUnit::kAvx512Bf16},
                         {"avx512", HWY_AVX3},
                         {"avx2", HWY_AVX2},
                         {"neon", HWY_NEON},
                         {"scalar", HWY_SCALAR}};

// What the processor has. Asked once, before anything is switched off:
// SupportedTargets of Highway 1.0.3 chooses the best target anew.
int64_t HardwareTargets() {
  static const int64_t targets = hwy::SupportedTargets();
  return targets;
}

bool HasUnit(TileUnit unit) {
  switch (unit) {
    case TileUnit::kAmx:
      return HasAmx();
    case TileUnit::kAvx512Bf16:
      return HasAvx512Bf16();
    case TileUnit::kNone:
      break;
  }
  return true;
}

// The baseline is not a bit of SupportedTargets unless it is all there is.
bool CanRun(const Isa& isa) {
  if ((isa.target & HWY_TARGETS) == 0 || !HasUnit(isa.unit)) return false;
  return isa.target == HWY_STATIC_TARGET ||
         (isa.target & HardwareTargets()) != 0;
}

// What to switch off so that one instruction set is the best one left.
struct Limits {
  int64_t targets = 0;
  TileUnit best = TileUnit::kAmx;
};

// Nothing for a name that cannot run.
std::optional<Limits> LimitsFor(std::string_view name) {
  Limits limits;
  for (const Isa& isa : kIsas) {
    if (isa.name == name) {
      limits.targets &= ~isa.target;
      limits.best = isa.unit;
      return CanRun(isa) ? std::optional(limits) : std::nullopt;
    }
    limits.targets |= isa.target;
  }
  return std::nullopt;
}

// The best of what runs on the target that dispatch chooses.
const Isa* running = nullptr;

bool Allowed(const Isa& isa, const Limits& limits) {
  return (isa.target & limits.targets) == 0 && isa.unit <= limits.best &&
         CanRun(isa);
}

void Apply(const Limits& limits) {
  hwy::DisableTargets(limits.targets);
  const int64_t target = HWY_DYNAMIC_DISPATCH(RunningTarget)();
  running = nullptr;
  for (const Isa& isa : kIsas) {
    if (isa.target != target || !Allowed(isa, limits)) continue;
    running = &isa;
    break;
  }
}

struct Environment {
  Limits limits;
  Support support;
};

Environment ReadEnvironment() {
  Environment environment;
  HardwareTargets();
  Apply(environment.limits);
  const char* value = std::getenv("RATTN_ISA");
  if (value == nullptr || *value == 0) return environment;
  if (const std::optional<Limits> limits = LimitsFor(value)) {
    environment.limits = *limits;
    Apply(*limits);
    return environment;
  }
  std::string known;
  for (const Isa& isa : kIsas) {
    if (!CanRun(isa)) continue;
    known += (known.empty() ? "" : ", ") + std::string(isa.name);
  }
  environment.support.reason = "RATTN_ISA=" + std::string(value) +
                               " cannot run here: use one of " + known;
  return environment;
}

const Environment& TheEnvironment() {
  static const Environment environment = ReadEnvironment();
  return environment;
}

}  // namespace

Support IsaSupport() { return TheEnvironment().support; }

TileUnit RunningTileUnit() {
  TheEnvironment();
  return running == nullptr ? TileUnit::kNone : running->unit;
}

std::vector<std::string_view> AvailableIsas() {
  const Limits& limits = TheEnvironment().limits;
  std::vector<std::string_view> names;
  for (const Isa& isa : kIsas) {
    if (Allowed(isa, limits)) names.push_back(isa.name);
  }
  return names;
}

bool ForceIsa(std::string_view name) {
  Limits limits = TheEnvironment().limits;
  if (!name.empty()) {
    const std::optional<Limits> more = LimitsFor(name);
    if (!more) return false;
    limits.targets |= more->targets;
    limits.best = std::min(limits.best, more->best);
  }
  Apply(limits);
  return true;
}

std::string_view CpuIsa() {
  TheEnvironment();
  return running == nullptr ? "unknown" : running->name;
}

}  // namespace rattn
#endif  // HWY_ONCE
