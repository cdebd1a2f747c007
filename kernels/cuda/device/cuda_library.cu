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

template <typename Pass>
const char* FromHost(Pass pass, const Problem& problem, const Buffers& buffers,
                     size_t workspace_bytes) {
  constexpr cudaStream_t kStream = nullptr;
  HostTensors tensors(buffers, workspace_bytes, kStream);
  if (tensors.error() != cudaSuccess) return Text(tensors.error());
  const char* failure =
      pass(problem, tensors.device(), tensors.workspace(), kStream);
  if (failure != nullptr) return failure;
  tensors.CopyOutputsBack();
  if (tensors.error() != cudaSuccess) return Text(tensors.error());
  return Text(cudaStreamSynchronize(kStream));
}
const char* ForwardFromHost(const Problem& problem, const Buffers& buffers) {
  return FromHost(Forward, problem, buffers, CudaForwardBytes(problem));
}
const char* BackwardFromHost(const Problem& problem, const Buffers& buffers) {
  return FromHost(Backward, problem, buffers, CudaBackwardBytes(problem));
}

constexpr CudaLibrary kLibrary = {Forward, Backward, ForwardFromHost,
                                  BackwardFromHost};

}  // namespace
}  // namespace rattn::cuda

extern "C" const rattn::cuda::CudaLibrary* RattnCudaLibrary() {
  return &rattn::cuda::kLibrary;
}
