// Row operations of the reference in fp64: dot products, rotary positions,
// feature maps and norms, each with its gradient.
#pragma once

#include <cstdint>

#include "kernels/mixer_spec.h"
#include "kernels/problem.h"
#include "kernels/tensor_view.h"

namespace rattn::reference {

double Dot(const double* a, const double* b, int64_t n);
// y += a * x
void AddScaled(double a, const double* x, int64_t n, double* y);
void Fill(double value, int64_t n, double* x);

// Rows of a view (axis 3) and contiguous rows of any dtype, widened / rounded.
void LoadRow(const TensorView& view, int64_t i0, int64_t i1, int64_t i2,
             double* out);
void StoreRow(const TensorView& view, int64_t i0, int64_t i1, int64_t i2,
              const double* in);
void LoadRow(const void* row, Dtype dtype, int64_t n, double* out);
void StoreRow(void* row, Dtype dtype, int64_t n, const double* in);

// Rotates x [n] by `position`; by -position to undo it, which is the gradient
// too. Does nothing when `positions` has no RoPE.
void Rotate(const Positions& positions, int64_t position, int64_t n, double* x);

// phi(x) for x [n] into FeatureDim(map, n) features.
void Features(FeatureMap map, const double* x, int64_t n, double* phi);
// dx += (d phi / d x)^T dphi
void FeaturesGradient(FeatureMap map, const double* x, const double* phi,
                      const double* dphi, int64_t n, double* dx);

// y += weight * scale * x / sqrt(mean(x^2) + eps); scale may be null (ones).
void AddNormed(double weight, const double* x, const double* scale, int64_t n,
               double* y);
// Gradient of AddNormed: dx += ..., and dscale += ... unless null.
void NormGradient(double weight, const double* x, const double* scale,
                  const double* dy, int64_t n, double* dx, double* dscale);

}  // namespace rattn::reference
