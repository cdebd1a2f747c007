// Products with weight matrices for inference: y = x W^T, x [rows, depth], W
// [width, depth]. Every element of y is one sum in one order, whatever the
// number of rows, the rows beside it and the thread count.
//
// W is packed once into panels of 32 columns of W^T, each one piece of memory
// that a product reads from front to back: a single row runs at the speed of
// memory, many rows at that of the multipliers. bf16 panels are tiles in the
// order of bf16_tiles-inl.h on every instruction set, zero behind depth.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/tensor_view.h"

namespace rattn {

inline constexpr int64_t kPanelColumns = 32;

// Elements of one panel; dtype kF32 or kBF16.
int64_t PanelElements(int64_t depth, Dtype dtype);

// `weight` [width, depth], row-major, into ceil(width / 32) panels, 64-byte
// aligned.
void PackWeight(const void* weight, int64_t width, int64_t depth, Dtype dtype,
                void* panels, int threads);

struct WeightProductCall {
  const void* x = nullptr;  // [rows, depth], row-major, dtype
  int64_t rows = 0;
  int64_t depth = 0;
  Dtype dtype = Dtype::kF32;
  const void* panels = nullptr;  // of PackWeight
  int64_t panel_count = 0;
  // fp32 [ProductRows(rows), 32 panel_count], 64-byte aligned; what stands
  // behind the asked rows and the width is not defined.
  float* y = nullptr;
  void* scratch = nullptr;  // WeightProductScratch bytes, 64-byte aligned
  int threads = 1;
};

// Rows that y must have room for: AMX computes whole blocks.
int64_t ProductRows(int64_t rows);
size_t WeightProductScratch(int64_t rows, int64_t depth, Dtype dtype,
                            int threads);
void WeightProduct(const WeightProductCall& call);

}  // namespace rattn
