// Tests only: cases of the golden folder (see its README.md), which is not
// part of the repository. Looked for in $RATTN_SHARED and beside the source.
#pragma once

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "harness/apply.h"
#include "kernels/backend.h"
#include "models/json_fields.h"
#include "models/safetensors.h"
#include "models/shared_test_util.h"

namespace rattn {

// How a case is run, and the tolerances that go with it.
struct GoldenRun {
  std::string backend;
  Dtype dtype;
};

class GoldenCase {
 public:
  explicit GoldenCase(const std::string& path) : file_(path) {}

  const std::string& Text(const std::string& key) const {
    return file_.metadata().at(key);
  }
  bool Has(const std::string& key) const {
    return file_.metadata().contains(key);
  }
  bool Flag(const std::string& key) const {
    return Has(key) && Text(key) == "true";
  }
  int64_t Int(const std::string& key) const { return std::stoll(Text(key)); }
  double Number(const std::string& key) const { return std::stod(Text(key)); }
  bool HasTensor(const std::string& name) const { return file_.Find(name); }
  ApplyTensor Get(const std::string& name) const {
    const SafeTensor& tensor = file_.Get(name);
    return {tensor.shape, tensor.ToDoubles()};
  }
  // Largest relative RMS error of the tensor that the README allows.
  double Tolerance(const std::string& name, Dtype dtype) const {
    const bool gradient = Json::parse(Text("roles")).at(name) == "grad";
    if (dtype == Dtype::kBF16) return gradient ? 1e-2 : 5e-3;
    if (dtype == Dtype::kF64) {
      if (file_.Get(name).dtype == "F32") return 1e-7;
      return gradient ? 1e-11 : 1e-12;
    }
    const Json errors = Has("ref_fp32_error")
                            ? Json::parse(Text("ref_fp32_error"))
                            : Json::object();
    const double reference = errors.contains(name) && errors[name].is_number()
                                 ? errors[name].get<double>()
                                 : 0;
    return std::max(gradient ? 2e-6 : 1e-6, 4 * reference);
  }

 private:
  SafeTensorsFile file_;
};

inline std::filesystem::path GoldenFolder() { return SharedPath("golden"); }

// Every backend of ours that is there; the first, the reference, in fp64 as
// well. A baseline that is loaded on demand has tests of its own.
inline std::vector<GoldenRun> GoldenRuns(bool bf16) {
  std::vector<GoldenRun> runs;
  for (const BackendEntry& entry : BackendList()) {
    std::string reason;
    if (entry.on_demand || entry.get(&reason) == nullptr) continue;
    const std::string name(entry.name);
    if (runs.empty()) runs.push_back({name, Dtype::kF64});
    runs.push_back({name, Dtype::kF32});
    if (bf16) runs.push_back({name, Dtype::kBF16});
  }
  return runs;
}

// Calls test(case, run) for every case of an operation on every backend.
inline void ForEachGolden(
    const std::string& op,
    const std::function<void(const GoldenCase&, const GoldenRun&)>& test) {
  if (!std::filesystem::is_directory(GoldenFolder())) {
    GTEST_SKIP() << "no golden vectors in " << GoldenFolder()
                 << ": set RATTN_SHARED";
  }
  int cases = 0;
  for (const auto& entry :
       std::filesystem::directory_iterator(GoldenFolder())) {
    if (entry.path().extension() != ".safetensors") continue;
    const GoldenCase golden(entry.path());
    if (golden.Text("op") != op) continue;
    ++cases;
    const bool bf16 = golden.Text("input_grid") == "bf16";
    for (const GoldenRun& run : GoldenRuns(bf16)) {
      SCOPED_TRACE(fmt::format("{} on {} in {}", golden.Text("case"),
                               run.backend, Name(run.dtype)));
      test(golden, run);
    }
  }
  EXPECT_GT(cases, 0) << "no case of " << op;
}

// ------------------------------------------------------- tensors of doubles

inline int64_t Elements(const std::vector<int64_t>& shape) {
  int64_t n = 1;
  for (int64_t size : shape) n *= size;
  return n;
}

inline ApplyTensor Reshaped(ApplyTensor tensor, std::vector<int64_t> shape) {
  EXPECT_EQ(Elements(shape), Elements(tensor.shape));
  tensor.shape = std::move(shape);
  return tensor;
}

// [A, B, C, D] -> [A, C, B, D], its own inverse.
inline ApplyTensor SwapMiddle(const ApplyTensor& t) {
  const int64_t a = t.shape[0], b = t.shape[1], c = t.shape[2], d = t.shape[3];
  ApplyTensor out{{a, c, b, d}, std::vector<double>(t.values.size())};
  for (int64_t i = 0; i < a * b * c; ++i) {
    const int64_t x = i / (b * c), y = i / c % b, z = i % c;
    std::copy_n(t.values.begin() + i * d, d,
                out.values.begin() + ((x * c + z) * b + y) * d);
  }
  return out;
}

// Elements [begin, begin + count) of an axis.
inline ApplyTensor Part(const ApplyTensor& t, size_t axis, int64_t begin,
                        int64_t count) {
  const int64_t outer = Elements({t.shape.begin(), t.shape.begin() + axis});
  const int64_t inner = Elements({t.shape.begin() + axis + 1, t.shape.end()});
  ApplyTensor out{t.shape, {}};
  out.shape[axis] = count;
  for (int64_t i = 0; i < outer; ++i) {
    const auto from = t.values.begin() + (i * t.shape[axis] + begin) * inner;
    out.values.insert(out.values.end(), from, from + count * inner);
  }
  return out;
}

// [B, Hq, ...] -> [B, Hkv, ...]: the first head of each group, or the sum.
inline ApplyTensor PerKvHead(const ApplyTensor& t, int64_t kv_heads, bool sum) {
  const int64_t group = t.shape[1] / kv_heads;
  const int64_t inner = t.shape[2] * t.shape[3];
  ApplyTensor out{{t.shape[0], kv_heads, t.shape[2], t.shape[3]}, {}};
  out.values.resize(static_cast<size_t>(Elements(out.shape)));
  for (int64_t head = 0; head < t.shape[0] * kv_heads; ++head) {
    for (int64_t g = 0; g < (sum ? group : 1); ++g) {
      for (int64_t i = 0; i < inner; ++i) {
        out.values[static_cast<size_t>(head * inner + i)] +=
            t.values[static_cast<size_t>((head * group + g) * inner + i)];
      }
    }
  }
  return out;
}

// ------------------------------------------------------------- expectations

// Holds `actual` to the tensor `name` of the case, given as `expected` in our
// axes. Rows that are exactly zero there must be so here.
inline void ExpectGolden(const GoldenCase& golden, const GoldenRun& run,
                         const std::string& name, const ApplyTensor& actual,
                         const ApplyTensor& expected) {
  ASSERT_EQ(actual.shape, expected.shape) << name;
  double error = 0, norm = 0;
  for (size_t i = 0; i < expected.values.size(); ++i) {
    const double difference = actual.values[i] - expected.values[i];
    error += difference * difference;
    norm += expected.values[i] * expected.values[i];
  }
  const double n =
      static_cast<double>(std::max<size_t>(expected.values.size(), 1));
  const double rms = std::sqrt(error / (norm > 0 ? norm : n));
  EXPECT_LE(rms, golden.Tolerance(name, run.dtype)) << name;
  // Zeros that are differences of equal sums: bf16 products on tiles add up in
  // an order of their own.
  const double zero =
      run.dtype == Dtype::kBF16 ? 1e-4 * std::sqrt(norm / n) : 0;
  const size_t row = static_cast<size_t>(expected.shape.back());
  for (size_t at = 0; at + row <= expected.values.size(); at += row) {
    const auto begin = expected.values.begin() + static_cast<int64_t>(at);
    if (!std::all_of(begin, begin + static_cast<int64_t>(row),
                     [](double x) { return x == 0; })) {
      continue;
    }
    for (size_t i = at; i < at + row; ++i) {
      ASSERT_LE(std::abs(actual.values[i]), zero)
          << name << " has a row of zeros";
    }
  }
}

}  // namespace rattn
