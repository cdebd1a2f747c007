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

// The baseline is not a bit of SupportedTargets unless it is all there is.
bool Usable(const Isa& isa) {
  if ((isa.target & HWY_TARGETS) == 0) return false;
  return isa.target == HWY_STATIC_TARGET ||
         (isa.target & hwy::SupportedTargets()) != 0;
}

Support ReadEnvironment() {
  const char* value = std::getenv("RATTN_ISA");
  if (value == nullptr || *value == 0) return {};
  std::string known;
  for (std::string_view name : AvailableIsas()) {
    known += (known.empty() ? "" : ", ") + std::string(name);
  }
  if (ForceIsa(value)) return {};
  return {"RATTN_ISA=" + std::string(value) + " cannot run here: use one of " +
          known};
}

}  // namespace

std::vector<std::string_view> AvailableIsas() {
  std::vector<std::string_view> names;
  for (const Isa& isa : kIsas) {
    if (Usable(isa)) names.push_back(isa.name);
  }
  return names;
}

bool ForceIsa(std::string_view name) {
  hwy::DisableTargets(0);
  if (name.empty()) return true;
  int64_t better = 0;
  for (const Isa& isa : kIsas) {
    if (isa.name == name && Usable(isa)) {
      hwy::DisableTargets(better);
      return true;
    }
    better |= isa.target;
  }
  return false;
}

Support IsaSupport() {
  static const Support support = ReadEnvironment();
  return support;
}

std::string_view CpuIsa() {
  const int64_t running = HWY_DYNAMIC_DISPATCH(RunningTarget)();
  for (const Isa& isa : kIsas) {
    if (isa.target == running) return isa.name;
  }
  return "unknown";
}

}  // namespace rattn
#endif  // HWY_ONCE
