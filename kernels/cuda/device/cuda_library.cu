#include "kernels/cuda/cuda_library.h"
#include "kernels/cuda/device/host_tensors.h"
#include "kernels/cuda/device/passes.h"
#include "kernels/cuda/support.h"

namespace rattn::cuda {
namespace {

const char* Text(cudaError_t error) {
  return error == cudaSuccess ? nullptr : cudaGetErrorString(error);
}

const char* Forward(const Problem& problem, const Buffers& buffers,
                    Workspace workspace, void* stream) {
  const auto run = problem.dtype == Dtype::kF16 ? ForwardFp16 : ForwardBf16;
  return Text(
      run(problem, buffers, workspace, static_cast<cudaStream_t>(stream)));
}

const char* Backward(const Problem& problem, const Buffers& buffers,
                     Workspace workspace, void* stream) {
  const auto run = problem.dtype == Dtype::kF16 ? BackwardFp16 : BackwardBf16;
  return Text(
      run(problem, buffers, workspace, static_cast<cudaStream_t>(stream)));
}

const char* Extend(const Problem& problem, const Buffers& buffers,
                   const CacheViews& cache, Workspace workspace, void* stream) {
  const auto run = problem.dtype == Dtype::kF16 ? ExtendFp16 : ExtendBf16;
  return Text(run(problem, buffers, cache, workspace,
                  static_cast<cudaStream_t>(stream)));
}

constexpr cudaStream_t kHostStream = nullptr;

// `failure`: of the launches on the tensors.
const char* Finish(HostTensors* tensors, const char* failure) {
  if (failure != nullptr) return failure;
  tensors->CopyOutputsBack();
  if (tensors->error() != cudaSuccess) return Text(tensors->error());
  return Text(cudaStreamSynchronize(kHostStream));
}

template <typename Pass>
const char* FromHost(Pass pass, const Problem& problem, const Buffers& buffers,
                     size_t workspace_bytes) {
  HostTensors tensors(buffers, workspace_bytes, kHostStream);
  if (tensors.error() != cudaSuccess) return Text(tensors.error());
  return Finish(&tensors, pass(problem, tensors.device(), tensors.workspace(),
                               kHostStream));
}
const char* ForwardFromHost(const Problem& problem, const Buffers& buffers) {
  return FromHost(Forward, problem, buffers, CudaForwardBytes(problem));
}
const char* BackwardFromHost(const Problem& problem, const Buffers& buffers) {
  return FromHost(Backward, problem, buffers, CudaBackwardBytes(problem));
}
const char* ExtendFromHost(const Problem& problem, const Buffers& buffers,
                           const CacheViews& cache) {
  HostTensors tensors(buffers, CudaExtendBytes(problem), kHostStream);
  if (tensors.error() != cudaSuccess) return Text(tensors.error());
  return Finish(&tensors, Extend(problem, tensors.device(), cache,
                                 tensors.workspace(), kHostStream));
}

const char* Allocate(size_t bytes, void** data) {
  return Text(cudaMalloc(data, bytes));
}

// Waits, as cudaMalloc's counterpart does, for what still uses the memory.
void Free(void* data) { cudaFree(data); }

// Calls of this library may be on any stream.
template <typename Operation>
const char* Alone(const Operation& operation) {
  cudaError_t error = cudaDeviceSynchronize();
  if (error == cudaSuccess) error = operation();
  if (error == cudaSuccess) error = cudaDeviceSynchronize();
  return Text(error);
}
const char* Zero(void* data, size_t bytes) {
  return Alone([=] { return cudaMemset(data, 0, bytes); });
}
const char* Copy(void* to, const void* from, size_t bytes) {
  return Alone([=] { return cudaMemcpy(to, from, bytes, cudaMemcpyDefault); });
}

constexpr CudaLibrary kLibrary = {.forward = Forward,
                                  .backward = Backward,
                                  .extend = Extend,
                                  .forward_from_host = ForwardFromHost,
                                  .backward_from_host = BackwardFromHost,
                                  .extend_from_host = ExtendFromHost,
                                  .allocate = Allocate,
                                  .free = Free,
                                  .zero = Zero,
                                  .copy = Copy};

}  // namespace
}  // namespace rattn::cuda

extern "C" const rattn::cuda::CudaLibrary* RattnCudaLibrary() {
  return &rattn::cuda::kLibrary;
}
