#include "kernels/cuda/host/host_hopper.h"

namespace rattn::cuda {

RATTN_HOPPER_KERNELS()

}  // namespace rattn::cuda
