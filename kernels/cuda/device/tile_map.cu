#include <cuda.h>

#include <cstring>
#include <type_traits>

#include "kernels/bf16.h"
#include "kernels/cuda/device/sm90a_kernels.h"
#include "kernels/fp16.h"

namespace rattn::cuda {
namespace {

using Encode = decltype(&cuTensorMapEncodeTiled);

struct Driver {
  cudaError_t error;
  Encode encode;
};

// The runtime finds the driver's function, so that nothing links to libcuda.
Driver FindDriver() {
  constexpr unsigned kVersion = 12000;  // of the driver API that has it
  void* found = nullptr;
  cudaDriverEntryPointQueryResult result;
  cudaError_t error = cudaGetDriverEntryPointByVersion(
      "cuTensorMapEncodeTiled", &found, kVersion, cudaEnableDefault, &result);
  if (error == cudaSuccess && result != cudaDriverEntryPointSuccess) {
    error = cudaErrorNotSupported;
  }
  return {error, reinterpret_cast<Encode>(found)};
}

}  // namespace

template <typename T>
cudaError_t EncodeTileMap(TileMap* map) {
  constexpr int kAxes = 4;
  constexpr CUtensorMapDataType kType = std::is_same_v<T, Bf16>
                                            ? CU_TENSOR_MAP_DATA_TYPE_BFLOAT16
                                            : CU_TENSOR_MAP_DATA_TYPE_FLOAT16;
  static const Driver driver = FindDriver();
  if (driver.error != cudaSuccess) return driver.error;
  cuuint64_t shape[kAxes], stride[kAxes - 1];
  cuuint32_t box[kAxes], step[kAxes];
  for (int i = 0; i < kAxes; ++i) {
    shape[i] = static_cast<cuuint64_t>(map->shape[i]);
    box[i] = static_cast<cuuint32_t>(map->box[i]);
    step[i] = 1;
    if (i > 0) stride[i - 1] = static_cast<cuuint64_t>(map->stride[i - 1]);
  }
  CUtensorMap encoded;
  static_assert(sizeof(encoded) == sizeof(map->encoded));
  const CUresult result = driver.encode(
      &encoded, kType, kAxes, const_cast<void*>(map->data), shape, stride, box,
      step, CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B,
      CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  if (result != CUDA_SUCCESS) return cudaErrorInvalidValue;
  std::memcpy(map->encoded, &encoded, sizeof(encoded));
  return cudaSuccess;
}
template cudaError_t EncodeTileMap<Bf16>(TileMap*);
template cudaError_t EncodeTileMap<Fp16>(TileMap*);

}  // namespace rattn::cuda
