// Precompiled for every file of the library: LibTorch's headers take most of a
// translation unit's time. Narrow on purpose; all of torch/torch.h takes 25 s.
#pragma once

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>
