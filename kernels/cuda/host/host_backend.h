// The CUDA kernels as a backend on the CPU (exec_host.h), for tests.
#pragma once

#include "kernels/backend.h"
#include "kernels/cuda/cache_views.h"
#include "kernels/cuda/gpu.h"
#include "kernels/cuda/host/findings.h"

namespace rattn::cuda {

class HostBackend : public Backend {
 public:
  // `gpu`: whose kernels are executed.
  explicit HostBackend(Findings* findings, const Gpu& gpu = {})
      : findings_(findings), gpu_(gpu) {}

  std::string_view name() const override { return "cuda-host"; }
  std::string description() const override {
    return "CUDA kernels executed on the CPU, checked";
  }
  Support Supports(const Problem& problem) const override;
  size_t WorkspaceBytes(const Problem& problem) const override;
  void Forward(const Problem& problem, const Buffers& buffers,
               Workspace workspace) const override;
  void Backward(const Problem& problem, const Buffers& buffers,
                Workspace workspace) const override;
  void Extend(const Problem& problem, const Buffers& buffers, KvCache& cache,
              Workspace workspace) const override;
  // The same without AdvanceCache.
  void Extend(const Problem& problem, const Buffers& buffers,
              const CacheViews& cache, Workspace workspace) const;

 private:
  Findings* findings_;
  Gpu gpu_;
};

}  // namespace rattn::cuda
