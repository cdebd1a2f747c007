#include "kernels/cuda/host/warp_products.h"

#include <utility>

namespace rattn::cuda {
namespace {

const ProductArguments& ArgumentsOf(void* const* arguments, int lane) {
  return *static_cast<const ProductArguments*>(arguments[lane]);
}

}  // namespace

void FenceOfWarp(void* const* arguments) {
  const ProductArguments& first = ArgumentsOf(arguments, 0);
  first.products->Fence(first.warp, first.where);
}

void CommitOfWarp(void* const* arguments) {
  const ProductArguments& first = ArgumentsOf(arguments, 0);
  first.products->Commit(first.warp);
}

void WaitOfWarp(void* const* arguments) {
  const ProductArguments& first = ArgumentsOf(arguments, 0);
  first.products->Wait(first.warp, first.groups_left);
}

void PinOfWarp(void* const* arguments) {
  const ProductArguments& first = ArgumentsOf(arguments, 0);
  first.products->Pin(first.warp, first.pinned);
}

void MultiplyOfWarp(void* const* arguments) {
  const ProductArguments& first = ArgumentsOf(arguments, 0);
  GroupProduct product;
  for (int lane = 0; lane < kWarpSize; ++lane) {
    product.lanes[static_cast<size_t>(lane)] =
        ArgumentsOf(arguments, lane).lane;
  }
  product.a_rows = first.a_rows;
  product.b = first.b;
  product.columns = first.lane.a != nullptr;
  product.add = first.add;
  product.count = first.count;
  product.to_floats = first.to_floats;
  product.where = first.where;
  first.products->Issue(first.warp, std::move(product));
}

}  // namespace rattn::cuda
