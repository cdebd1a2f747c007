#include "kernels/backend.h"

#include <array>
#include <string>
#include <vector>

#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/isa.h"
#include "kernels/cuda/cuda_backend.h"
#include "kernels/nearest_name.h"
#include "kernels/reference/reference_backend.h"

namespace rattn {
namespace {

BackendLoader torch_loader = nullptr;

const Backend* GetReference(std::string*) { return ReferenceBackend(); }

template <const Backend* (*kGet)()>
const Backend* GetCpu(std::string* reason) {
  const Support isa = IsaSupport();
  if (isa.ok()) return kGet();
  *reason = isa.reason;
  return nullptr;
}

const Backend* GetTorch(std::string* reason) {
  if (torch_loader != nullptr) return torch_loader(reason);
  *reason = "this program was not linked with the LibTorch loader";
  return nullptr;
}

constexpr std::array kBackends = {
    BackendEntry{"reference", "plain fp64 loops: the truth, slow",
                 GetReference},
    BackendEntry{"cpu", "blockwise SIMD kernels, fp32 and bf16",
                 GetCpu<CpuBackend>},
    BackendEntry{"cpu-unfused", "the same, the branches of a mixer apart",
                 GetCpu<UnfusedCpuBackend>},
    BackendEntry{"torch", "LibTorch scaled_dot_product_attention: a baseline",
                 GetTorch, /*on_demand=*/true},
    BackendEntry{"cuda", "tensor-core kernels for NVIDIA GPUs", CudaBackend,
                 /*on_demand=*/false, /*on_device=*/true},
};

}  // namespace

std::span<const BackendEntry> BackendList() { return kBackends; }

const Backend* FindBackend(std::string_view name, std::string* reason) {
  std::vector<std::string> known;
  for (const BackendEntry& entry : BackendList()) {
    if (entry.name == name) return entry.get(reason);
    known.emplace_back(entry.name);
  }
  *reason = "unknown backend \"" + std::string(name) + "\"" +
            NearestHint(name, known);
  return nullptr;
}

void SetTorchBackendLoader(BackendLoader loader) { torch_loader = loader; }

}  // namespace rattn
