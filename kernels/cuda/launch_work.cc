#include "kernels/cuda/launch_work.h"

#include <cxxabi.h>

#include <cstdlib>
#include <typeinfo>

#include "kernels/cuda/backward_plan.h"
#include "kernels/cuda/exec_count.h"
#include "kernels/cuda/forward_plan.h"

namespace rattn::cuda {
namespace {

// A type's name without our namespaces, as scripts/check_cuda_kernels has it.
std::string ShortName(const std::type_info& type) {
  int status = 0;
  char* text = abi::__cxa_demangle(type.name(), nullptr, nullptr, &status);
  std::string name = status == 0 ? text : type.name();
  std::free(text);
  for (const std::string part : {"rattn::", "cuda::"}) {
    for (size_t at; (at = name.find(part)) != std::string::npos;) {
      name.erase(at, part.size());
    }
  }
  return name;
}

class CountingLauncher {
 public:
  CountingLauncher(const Gpu& gpu, int most_blocks)
      : gpu_(gpu), most_blocks_(most_blocks) {}

  const Gpu& gpu() const { return gpu_; }

  template <typename Kernel>
  void Run(const LaunchShape& shape, const typename Kernel::Params& params) {
    launches.push_back({ShortName(typeid(Kernel)), Kernel::kThreads,
                        requires { Kernel::kSm90a;
  }
  , shape, CountWork<Kernel>(shape, params, most_blocks_)});
}  // namespace

std::vector<PlannedLaunch> launches;

private:
Gpu gpu_;
int most_blocks_;
};  // namespace rattn::cuda

// Dense tensors at addresses that nobody follows.
class Nowhere {
 public:
  Arena* arena() { return &arena_; }
  TensorView Take(Dtype dtype, const Shape& s, int64_t tokens, int64_t heads,
                  int64_t dim) {
    TensorView view;
    view.dtype = dtype;
    view.shape = {s.batch, tokens, heads, dim};
    int64_t stride = 1;
    for (size_t axis = 4; axis-- > 0;) {
      view.stride[axis] = stride;
      stride *= view.shape[axis];
    }
    view.data =
        arena_.Take<char>(stride * static_cast<int64_t>(ByteSize(dtype)));
    return view;
  }

 private:
  Arena arena_{reinterpret_cast<void*>(uintptr_t{1} << 40)};
};

Buffers BuffersOf(const Problem& p, Nowhere* nowhere) {
  const Shape& s = p.shape;
  const auto take = [&](Dtype dtype, int64_t tokens, int64_t heads,
                        int64_t dim) {
    return nowhere->Take(dtype, s, tokens, heads, dim);
  };
  constexpr Dtype kIn = Dtype::kBF16, kKept = Dtype::kF32;
  Buffers b;
  b.q = take(kIn, s.query_len, s.query_heads, s.head_dim);
  b.k = take(kIn, s.key_len, s.kv_heads, s.head_dim);
  b.v = take(kIn, s.key_len, s.kv_heads, s.value_dim);
  b.o = take(kIn, s.query_len, s.query_heads, s.value_dim);
  if (p.phase != Phase::kTrain) return b;
  b.lse = take(kKept, s.query_len, s.query_heads, 1);
  b.o_local = take(kKept, s.query_len, s.query_heads, s.value_dim);
  b.o_memory = take(kKept, s.query_len, s.query_heads, s.value_dim);
  b.d_o = take(kIn, s.query_len, s.query_heads, s.value_dim);
  b.dq = take(kIn, s.query_len, s.query_heads, s.head_dim);
  b.dk = take(kIn, s.key_len, s.kv_heads, s.head_dim);
  b.dv = take(kIn, s.key_len, s.kv_heads, s.value_dim);
  return b;
}

}  // namespace

std::vector<PlannedLaunch> CudaLaunches(const Problem& problem, const Gpu& gpu,
                                        int most_blocks) {
  Nowhere nowhere;
  const Buffers buffers = BuffersOf(problem, &nowhere);
  CountingLauncher launcher(gpu, most_blocks);
  ForwardPlan<Bf16, CountingLauncher>::Run(problem, buffers, nowhere.arena(),
                                           &launcher);
  if (problem.phase == Phase::kTrain) {
    BackwardPlan<Bf16, CountingLauncher>::Run(problem, buffers, nowhere.arena(),
                                              &launcher);
  }
  return std::move(launcher.launches);
}

}  // namespace rattn::cuda
