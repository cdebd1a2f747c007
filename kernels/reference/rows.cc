#include "kernels/reference/rows.h"

#include <algorithm>
#include <cmath>

namespace rattn::reference {
namespace {

// softmax(sign * x)
void Softmax(const double* x, double sign, int64_t n, double* p) {
  double top = sign * x[0];
  for (int64_t i = 1; i < n; ++i) top = std::max(top, sign * x[i]);
  double sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += p[i] = std::exp(sign * x[i] - top);
  for (int64_t i = 0; i < n; ++i) p[i] /= sum;
}

void SoftmaxGradient(const double* p, const double* dp, double sign, int64_t n,
                     double* dx) {
  const double mean = Dot(p, dp, n);
  for (int64_t i = 0; i < n; ++i) dx[i] += sign * p[i] * (dp[i] - mean);
}

double InverseRms(const double* x, int64_t n) {
  return 1 / std::sqrt(Dot(x, x, n) / static_cast<double>(n) + kNormEpsilon);
}

}  // namespace

double Dot(const double* a, const double* b, int64_t n) {
  double sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < n; ++i) sum += a[i] * b[i];
  return sum;
}

void AddScaled(double a, const double* x, int64_t n, double* y) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) y[i] += a * x[i];
}

void Fill(double value, int64_t n, double* x) { std::fill(x, x + n, value); }

void LoadRow(const TensorView& view, int64_t i0, int64_t i1, int64_t i2,
             double* out) {
  for (int64_t i = 0; i < view.shape[3]; ++i) out[i] = view.Get(i0, i1, i2, i);
}

void StoreRow(const TensorView& view, int64_t i0, int64_t i1, int64_t i2,
              const double* in) {
  for (int64_t i = 0; i < view.shape[3]; ++i) view.Set(i0, i1, i2, i, in[i]);
}

void LoadRow(const void* row, Dtype dtype, int64_t n, double* out) {
  LoadRow(Contiguous(const_cast<void*>(row), dtype, {1, 1, 1, n}), 0, 0, 0,
          out);
}

void StoreRow(void* row, Dtype dtype, int64_t n, const double* in) {
  StoreRow(Contiguous(row, dtype, {1, 1, 1, n}), 0, 0, 0, in);
}

void Rotate(const Positions& positions, int64_t position, int64_t n,
            double* x) {
  if (!positions.rope) return;
  const bool interleaved = positions.layout == RopeLayout::kInterleaved;
  for (int64_t i = 0; i < n / 2; ++i) {
    double& a = x[interleaved ? 2 * i : i];
    double& b = x[interleaved ? 2 * i + 1 : i + n / 2];
    const double frequency =
        ScaledFrequency(positions.scaling,
                        std::pow(positions.theta, -2 * static_cast<double>(i) /
                                                      static_cast<double>(n)));
    const double angle = static_cast<double>(position) * frequency;
    const double c = std::cos(angle), s = std::sin(angle);
    const double rotated_a = a * c - b * s;
    b = a * s + b * c;
    a = rotated_a;
  }
}

void Features(FeatureMap map, const double* x, int64_t n, double* phi) {
  switch (map) {
    case FeatureMap::kSoftmax:
      Softmax(x, 1, n, phi);
      Softmax(x, -1, n, phi + n);
      return;
    case FeatureMap::kRelu:
      for (int64_t i = 0; i < n; ++i) {
        phi[i] = std::max(x[i], 0.0);
        phi[n + i] = std::max(-x[i], 0.0);
      }
      return;
    case FeatureMap::kIdentity:
      std::copy(x, x + n, phi);
      return;
  }
}

void FeaturesGradient(FeatureMap map, const double* x, const double* phi,
                      const double* dphi, int64_t n, double* dx) {
  switch (map) {
    case FeatureMap::kSoftmax:
      SoftmaxGradient(phi, dphi, 1, n, dx);
      SoftmaxGradient(phi + n, dphi + n, -1, n, dx);
      return;
    case FeatureMap::kRelu:
      for (int64_t i = 0; i < n; ++i) {
        if (x[i] > 0) dx[i] += dphi[i];
        if (x[i] < 0) dx[i] -= dphi[n + i];
      }
      return;
    case FeatureMap::kIdentity:
      AddScaled(1, dphi, n, dx);
      return;
  }
}

void AddNormed(double weight, const double* x, const double* scale, int64_t n,
               double* y) {
  const double factor = weight * InverseRms(x, n);
  for (int64_t i = 0; i < n; ++i) {
    y[i] += factor * x[i] * (scale ? scale[i] : 1);
  }
}

void NormGradient(double weight, const double* x, const double* scale,
                  const double* dy, int64_t n, double* dx, double* dscale) {
  const double inverse = InverseRms(x, n);
  double along = 0;  // of the gradient, in the direction of x
  for (int64_t i = 0; i < n; ++i) {
    const double g = weight * dy[i] * (scale ? scale[i] : 1);
    along += g * x[i];
    dx[i] += inverse * g;
    if (dscale) dscale[i] += weight * dy[i] * x[i] * inverse;
  }
  const double curvature =
      along * inverse * inverse * inverse / static_cast<double>(n);
  AddScaled(-curvature, x, n, dx);
}

}  // namespace rattn::reference
