#include "kernels/cpu/isa.h"

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
  bool tiles = false;  // bf16 products on AMX
};

// The best first, as Highway orders its targets.
constexpr Isa kIsas[] = {{"amx", HWY_AVX3, true},
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

// The baseline is not a bit of SupportedTargets unless it is all there is.
bool CanRun(const Isa& isa) {
  if ((isa.target & HWY_TARGETS) == 0 || (isa.tiles && !HasAmx())) return false;
  return isa.target == HWY_STATIC_TARGET ||
         (isa.target & HardwareTargets()) != 0;
}

// What to switch off so that one instruction set is the best one left.
struct Limits {
  int64_t targets = 0;
  bool tiles = false;
};

// Nothing for a name that cannot run.
std::optional<Limits> LimitsFor(std::string_view name) {
  Limits limits;
  for (const Isa& isa : kIsas) {
    if (isa.name == name) {
      limits.targets &= ~isa.target;
      return CanRun(isa) ? std::optional(limits) : std::nullopt;
    }
    limits.targets |= isa.target;
    limits.tiles |= isa.tiles;
  }
  return std::nullopt;
}

bool tiles_off = false;

void Apply(const Limits& limits) {
  hwy::DisableTargets(limits.targets);
  tiles_off = limits.tiles;
}

struct Environment {
  Limits limits;
  Support support;
};

Environment ReadEnvironment() {
  Environment environment;
  HardwareTargets();
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

bool TilesOn() {
  TheEnvironment();
  return !tiles_off && CanRun(kIsas[0]) &&
         HWY_DYNAMIC_DISPATCH(RunningTarget)() == kIsas[0].target;
}

std::vector<std::string_view> AvailableIsas() {
  const Limits& limits = TheEnvironment().limits;
  std::vector<std::string_view> names;
  for (const Isa& isa : kIsas) {
    const bool off =
        (isa.target & limits.targets) != 0 || (isa.tiles && limits.tiles);
    if (CanRun(isa) && !off) names.push_back(isa.name);
  }
  return names;
}

bool ForceIsa(std::string_view name) {
  Limits limits = TheEnvironment().limits;
  if (!name.empty()) {
    const std::optional<Limits> more = LimitsFor(name);
    if (!more) return false;
    limits.targets |= more->targets;
    limits.tiles |= more->tiles;
  }
  Apply(limits);
  return true;
}

std::string_view CpuIsa() {
  if (TilesOn()) return kIsas[0].name;
  const int64_t running = HWY_DYNAMIC_DISPATCH(RunningTarget)();
  for (const Isa& isa : kIsas) {
    if (isa.target == running && !isa.tiles) return isa.name;
  }
  return "unknown";
}

}  // namespace rattn
#endif  // HWY_ONCE
