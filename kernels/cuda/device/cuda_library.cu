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

const char* ForwardFromHost(const Problem& problem, const Buffers& buffers) {
  constexpr cudaStream_t kStream = nullptr;
  HostTensors tensors(buffers, CudaForwardBytes(problem), kStream);
  if (tensors.error() != cudaSuccess) return Text(tensors.error());
  const char* failure =
      Forward(problem, tensors.device(), tensors.workspace(), kStream);
  if (failure != nullptr) return failure;
  tensors.CopyOutputsBack();
  if (tensors.error() != cudaSuccess) return Text(tensors.error());
  return Text(cudaStreamSynchronize(kStream));
}

constexpr CudaLibrary kLibrary = {Forward, ForwardFromHost};

}  // namespace
}  // namespace rattn::cuda

extern "C" const rattn::cuda::CudaLibrary* RattnCudaLibrary() {
  return &rattn::cuda::kLibrary;
}
