#include "kernels/cuda/device/sm90a/sm90a_entry.h"
#include "kernels/cuda/softmax_hopper_kernel.h"

namespace rattn::cuda {

template const void* Sm90aFunction<SoftmaxHopper<Fp16, 64>>();
template const void* Sm90aFunction<SoftmaxHopper<Fp16, 128>>();

}  // namespace rattn::cuda
