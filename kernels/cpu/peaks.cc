#include "kernels/cpu/peaks.h"

#include <omp.h>

#include <chrono>
#include <cstddef>
#include <numeric>
#include <vector>

#include "kernels/cpu/bf16_peak.h"
#include "kernels/cpu/targets.h"
#include "kernels/kv_cache.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/peaks.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace rattn {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

constexpr int kRounds = 4096;

// Twelve independent chains hide a latency of up to six at two a cycle; they
// begin at different values, or compilers would compute equal ones once.
// Returns FLOPs; the sum keeps the compiler from dropping the work.
double MultiplyAdds(float* sum) {
  const hn::ScalableTag<float> d;
  const auto x = hn::Set(d, 0.999f), y = hn::Set(d, 1e-3f);
  const auto at = [d](int chain) HWY_ATTR {
    return hn::Set(d, 0.01f * static_cast<float>(chain));
  };
  auto a0 = at(0), a1 = at(1), a2 = at(2), a3 = at(3), a4 = at(4), a5 = at(5);
  auto b0 = at(6), b1 = at(7), b2 = at(8), b3 = at(9), b4 = at(10), b5 = at(11);
  for (int i = 0; i < kRounds; ++i) {
    a0 = hn::MulAdd(a0, x, y);
    a1 = hn::MulAdd(a1, x, y);
    a2 = hn::MulAdd(a2, x, y);
    a3 = hn::MulAdd(a3, x, y);
    a4 = hn::MulAdd(a4, x, y);
    a5 = hn::MulAdd(a5, x, y);
    b0 = hn::MulAdd(b0, x, y);
    b1 = hn::MulAdd(b1, x, y);
    b2 = hn::MulAdd(b2, x, y);
    b3 = hn::MulAdd(b3, x, y);
    b4 = hn::MulAdd(b4, x, y);
    b5 = hn::MulAdd(b5, x, y);
  }
  const auto a =
      hn::Add(hn::Add(hn::Add(a0, a1), hn::Add(a2, a3)), hn::Add(a4, a5));
  const auto b =
      hn::Add(hn::Add(hn::Add(b0, b1), hn::Add(b2, b3)), hn::Add(b4, b5));
  *sum += hn::GetLane(hn::SumOfLanes(d, hn::Add(a, b)));
  return 2.0 * 12 * kRounds * static_cast<double>(hn::Lanes(d));
}

// What an exponential for bf16 weights costs at least; only timed (relative
// error 6e-5).
template <class D, class V>
HWY_INLINE V Exp(D d, V x) {
  const hn::RebindToSigned<D> di;
  const auto y = hn::Mul(x, hn::Set(d, 1.44269504f));
  const auto n = hn::Round(y);
  const auto f = hn::Sub(y, n);
  // 2^f on [-1/2, 1/2].
  auto p = hn::MulAdd(hn::Set(d, 9.6181e-3f), f, hn::Set(d, 5.5504e-2f));
  p = hn::MulAdd(p, f, hn::Set(d, 0.2402265f));
  p = hn::MulAdd(p, f, hn::Set(d, 0.6931472f));
  p = hn::MulAdd(p, f, hn::Set(d, 1.0f));
  const auto exponent =
      hn::ShiftLeft<23>(hn::Add(hn::ConvertTo(di, n), hn::Set(di, 127)));
  return hn::Mul(p, hn::BitCast(d, exponent));
}

// Exponentials of values that stand in L1; returns how many.
double Exponentials(const float* values, size_t count, float* sum) {
  const hn::ScalableTag<float> d;
  const size_t lanes = hn::Lanes(d);
  auto total0 = hn::Zero(d), total1 = hn::Zero(d);
  const int rounds = 16;
  for (int round = 0; round < rounds; ++round) {
    for (size_t i = 0; i < count; i += 2 * lanes) {
      total0 = hn::Add(total0, Exp(d, hn::LoadU(d, values + i)));
      total1 = hn::Add(total1, Exp(d, hn::LoadU(d, values + i + lanes)));
    }
  }
  *sum += hn::GetLane(hn::SumOfLanes(d, hn::Add(total0, total1)));
  return static_cast<double>(rounds) * static_cast<double>(count);
}

// One pass over the values; returns bytes.
double ReadAll(const float* values, size_t count, float* sum) {
  const hn::ScalableTag<float> d;
  const size_t lanes = hn::Lanes(d);
  auto t0 = hn::Zero(d), t1 = hn::Zero(d), t2 = hn::Zero(d), t3 = hn::Zero(d);
  for (size_t i = 0; i < count; i += 4 * lanes) {
    t0 = hn::Add(t0, hn::LoadU(d, values + i));
    t1 = hn::Add(t1, hn::LoadU(d, values + i + lanes));
    t2 = hn::Add(t2, hn::LoadU(d, values + i + 2 * lanes));
    t3 = hn::Add(t3, hn::LoadU(d, values + i + 3 * lanes));
  }
  *sum +=
      hn::GetLane(hn::SumOfLanes(d, hn::Add(hn::Add(t0, t1), hn::Add(t2, t3))));
  return static_cast<double>(count) * sizeof(float);
}

}  // namespace HWY_NAMESPACE
}  // namespace rattn
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace rattn {
namespace {

HWY_EXPORT(MultiplyAdds);
HWY_EXPORT(Exponentials);
HWY_EXPORT(ReadAll);

using Clock = std::chrono::steady_clock;

// Where results go so that no compiler drops them.
volatile float sink;

// A multiple of every vector length times the unrolling.
constexpr size_t kGranule = 256;

// Units per second of work(thread, sum) -> units, repeated on every thread
// until the time is over. Each thread divides by its own time: on a busy
// machine they do not start and end together.
template <typename Work>
double Rate(int threads, double seconds, const Work& work) {
  std::vector<double> rates(static_cast<size_t>(threads));
#pragma omp parallel num_threads(threads)
  {
    const int thread = omp_get_thread_num();
    float sum = 0;
    work(thread, &sum);  // first touch and warm-up
#pragma omp barrier
    double units = 0, elapsed = 0;
    const Clock::time_point start = Clock::now();
    do {
      units += work(thread, &sum);
      elapsed = std::chrono::duration<double>(Clock::now() - start).count();
    } while (elapsed < seconds);
    sink = sum;
    rates[static_cast<size_t>(thread)] = units / elapsed;
  }
  return std::accumulate(rates.begin(), rates.end(), 0.0);
}

}  // namespace

double PeakFp32Flops(int threads, double seconds) {
  return Rate(threads, seconds, [](int, float* sum) {
    return HWY_DYNAMIC_DISPATCH(MultiplyAdds)(sum);
  });
}

double PeakBf16Flops(int threads, double seconds) {
  if (!HasBf16Products()) return 0;
  return Rate(threads, seconds,
              [](int, float* sum) { return Bf16Products(sum); });
}

double PeakFedBf16Flops(int threads, double seconds) {
  if (!HasBf16Products()) return 0;
  return Rate(threads, seconds,
              [](int, float* sum) { return FedBf16Products(sum); });
}

double PeakExps(int threads, double seconds) {
  std::vector<float> values(8 * kGranule);
  for (size_t i = 0; i < values.size(); ++i) {
    values[i] =
        -10.0f * static_cast<float>(i) / static_cast<float>(values.size());
  }
  return Rate(threads, seconds, [&](int, float* sum) {
    return HWY_DYNAMIC_DISPATCH(Exponentials)(values.data(), values.size(),
                                              sum);
  });
}

double PeakReadBandwidth(int64_t bytes, int threads, double seconds) {
  const size_t count =
      (static_cast<size_t>(bytes) / sizeof(float) / kGranule + 1) * kGranule;
  std::vector<AlignedBuffer> buffers(static_cast<size_t>(threads));
  return Rate(threads, seconds, [&](int thread, float* sum) {
    AlignedBuffer& buffer = buffers[static_cast<size_t>(thread)];
    if (buffer.size() == 0) buffer = AlignedBuffer(count * sizeof(float));
    return HWY_DYNAMIC_DISPATCH(ReadAll)(
        static_cast<const float*>(buffer.data()), count, sum);
  });
}

}  // namespace rattn
#endif  // HWY_ONCE
