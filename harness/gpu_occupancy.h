// How many blocks of a CUDA kernel a multiprocessor holds at once: what the
// compiler says that they take (configs/kernels/sm_*.json, written by
// scripts/check_cuda_kernels) against a GPU's limits.
#pragma once

#include <map>
#include <string>

#include "harness/hardware.h"

namespace rattn {

struct KernelResources {
  int registers = 0;     // of a thread
  int spill_bytes = 0;   // of a thread
  int stack_bytes = 0;   // of a thread
  int shared_bytes = 0;  // static, of a block
};

// Of one compute capability.
struct CompiledKernels {
  std::string about;
  int compute_capability = 0;
  std::string compiler;
  std::map<std::string, KernelResources> kernels;  // by name
};

// With the kernels that are compiled for it alone (sm_90a.json for 90). Throws
// UserError: no such file (says how to write it), or no such content.
CompiledKernels LoadCompiledKernels(int compute_capability);

struct Occupancy {
  int blocks = 0;      // of a multiprocessor; 0: a block does not fit
  double threads = 0;  // as a share of the most that it holds
  std::string limit;   // "registers", "shared memory", "threads" or "blocks"
};

// `shared_bytes`: dynamic, of a block of `threads` threads.
Occupancy OccupancyOf(const KernelResources& kernel, int threads,
                      int shared_bytes, const GpuLimits& gpu);

template <typename Visitor>
void VisitFields(Visitor& visit, KernelResources& k) {
  visit.Required("registers", k.registers, "of a thread");
  visit.Required("spill_bytes", k.spill_bytes, "of a thread");
  visit.Required("stack_bytes", k.stack_bytes, "of a thread");
  visit.Required("shared_bytes", k.shared_bytes, "static, of a block");
}

template <typename Visitor>
void VisitFields(Visitor& visit, CompiledKernels& c) {
  visit.Required("about", c.about, "what this is");
  visit.Required("compute_capability", c.compute_capability, "90 for 9.0");
  visit.Required("compiler", c.compiler, "of the figures");
  visit.Required("kernels", c.kernels, "by name");
}

}  // namespace rattn
