// Operations on products (exec.h) as the lanes of a warp meet in them: each is
// a WarpAction of HostBlock.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/cuda/host/group_products.h"

namespace rattn::cuda {

// What a lane brings to them.
struct ProductArguments {
  GroupProducts* products = nullptr;
  int warp = 0;
  int groups_left = 0;
  GroupProducts::Registers pinned;
  GroupProduct::Lane lane;  // without `a`: a_rows
  uint64_t a_rows = 0, b = 0;
  bool add = true;
  int count = 0;
  void (*to_floats)(const std::byte* from, int count, float* to) = nullptr;
  Where where;
};
void FenceOfWarp(void* const* arguments);
void CommitOfWarp(void* const* arguments);
void WaitOfWarp(void* const* arguments);
void PinOfWarp(void* const* arguments);
void MultiplyOfWarp(void* const* arguments);

}  // namespace rattn::cuda
