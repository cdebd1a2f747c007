#include "kernels/cpu/isa.h"

#include <cstdint>
#include <cstdlib>
#include <string>

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
};

// The best first, as Highway orders its targets.
constexpr Isa kIsas[] = {{"avx512", HWY_AVX3},
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
  if ((isa.target & HWY_TARGETS) == 0) return false;
  return isa.target == HWY_STATIC_TARGET ||
         (isa.target & HardwareTargets()) != 0;
}

// Targets to switch off so that `name` is the best one left.
bool BetterThan(std::string_view name, int64_t* better) {
  *better = 0;
  for (const Isa& isa : kIsas) {
    if (isa.name == name) return CanRun(isa);
    *better |= isa.target;
  }
  return false;
}

struct Environment {
  int64_t disabled = 0;
  Support support;
};

Environment ReadEnvironment() {
  Environment environment;
  HardwareTargets();
  const char* value = std::getenv("RATTN_ISA");
  if (value == nullptr || *value == 0) return environment;
  if (BetterThan(value, &environment.disabled)) {
    hwy::DisableTargets(environment.disabled);
    return environment;
  }
  environment.disabled = 0;
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

std::vector<std::string_view> AvailableIsas() {
  const int64_t disabled = TheEnvironment().disabled;
  std::vector<std::string_view> names;
  for (const Isa& isa : kIsas) {
    if (CanRun(isa) && (isa.target & disabled) == 0) names.push_back(isa.name);
  }
  return names;
}

bool ForceIsa(std::string_view name) {
  int64_t disabled = TheEnvironment().disabled;
  if (!name.empty()) {
    int64_t better = 0;
    if (!BetterThan(name, &better)) return false;
    disabled |= better;
  }
  hwy::DisableTargets(disabled);
  return true;
}

std::string_view CpuIsa() {
  TheEnvironment();
  const int64_t running = HWY_DYNAMIC_DISPATCH(RunningTarget)();
  for (const Isa& isa : kIsas) {
    if (isa.target == running) return isa.name;
  }
  return "unknown";
}

}  // namespace rattn
#endif  // HWY_ONCE
