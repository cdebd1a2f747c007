// The launches of a forward pass, in order.
#pragma once

#include <algorithm>

#include "kernels/cuda/branch_plan.h"
#include "kernels/cuda/fused_forward_kernel.h"

namespace rattn::cuda {

template <typename T, class Launcher>
class ForwardPlan : private BranchPlan<T, Launcher> {
 public:
  // Runs the launches of `problem` (CudaSupports) on device pointers.
  static void Run(const Problem& problem, const Buffers& buffers, Arena* arena,
                  Launcher* launcher) {
    ForwardPlan plan(problem, buffers, arena, launcher);
    if (plan.BranchesFuse()) {
      plan.RunFused();
    } else {
      plan.RunBranches();
    }
  }

 private:
  using Base = BranchPlan<T, Launcher>;
  using Base::b_, Base::p_;
  using Base::Base;

  // Both branches on all query heads, with rows that fit into the registers of
  // a block twice.
  bool BranchesFuse() const {
    constexpr int64_t kMostColumns = 128;
    const Shape& s = p_.shape;
    return HasLocal(p_.spec) && HasMemory(p_.spec) &&
           p_.spec.combine != Combine::kSplitHeads &&
           !p_.state_per_query_head &&
           std::max(s.head_dim, s.value_dim) <= kMostColumns &&
           ValueColumns(p_) == s.value_dim;
  }

  void RunFused() {
    this->WithMemoryDims([&](auto features, auto dim) {
      if constexpr (dim <= 128) RunFusedKernel<features, dim>();
    });
  }
  template <int kFeatures, int kDim>
  void RunFusedKernel() {
    using Kernel = FusedForward<T, kFeatures, kDim>;
    typename Kernel::Params params;
    const auto v = this->template Values<kDim>();
    params.local = this->template SoftmaxParams<kDim, KeySource::kGiven>(
        {this->template LocalKeys<kDim>()}, {v});
    params.memory = this->template ReadParams<kFeatures, kDim>(
        this->template Features<kFeatures, kDim>(this->MemoryKeys()), v);
    params.local.o_wide = ViewOf<float>(b_.o_local);
    params.memory.o_wide = ViewOf<float>(b_.o_memory);
    params.norm_local = ViewOf<const float>(b_.norm_local);
    params.norm_memory = ViewOf<const float>(b_.norm_memory);
    params.o = ViewOf<T>(b_.o);
    params.norms = UsesNorms(p_.spec);
    params.weight = this->BranchWeight();
    this->launcher_->template Run<Kernel>(
        this->OfHeads(this->BlocksOf(p_.shape.query_len,
                                     {params.local.group, Kernel::kRows}),
                      p_.shape.kv_heads, Kernel::kSharedBytes),
        params);
  }

  void RunBranches() {
    GlobalView<float> local, memory;
    if (HasLocal(p_.spec)) {
      this->WithDim([&](auto dim) { local = RunLocal<dim>(); });
    }
    if (HasMemory(p_.spec)) {
      this->WithMemoryDims([&](auto features, auto dim) {
        const auto keys =
            this->template Features<features, dim>(this->MemoryKeys());
        memory = this->template ReadMemory<features, dim>(
            keys, this->template MemoryValues<dim>());
      });
    }
    this->RunCombine(local, memory);
  }

  template <int kDim>
  GlobalView<float> RunLocal() {
    const GivenKeys<T> k = {this->template LocalKeys<kDim>()};
    const GivenKeys<T> v = {this->template Values<kDim>()};
    return this->template Attend<kDim, KeySource::kGiven>(k, v);
  }
};

}  // namespace rattn::cuda
