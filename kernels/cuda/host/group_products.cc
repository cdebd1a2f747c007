#include "kernels/cuda/host/group_products.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

#include "kernels/cuda/host/box_copy.h"

namespace rattn::cuda {
namespace {

constexpr int kWarpsOfGroup = 4;
constexpr int kRowsOfWarp = 16, kDepth = 16;
constexpr int kChunk = 8;                    // elements of 16 bytes
constexpr uint32_t kUnderWay = 0x7fa5a5a5u;  // a signalling NaN

// A matrix in shared memory, the 128-byte swizzle (PTX ISA, "Strides" of the
// shared memory layout of wgmma).
struct Matrix {
  explicit Matrix(uint64_t descriptor)
      : start(static_cast<uint32_t>(descriptor & 0x3fff) << 4),
        leading(static_cast<uint32_t>(descriptor >> 16 & 0x3fff) << 4),
        stride(static_cast<uint32_t>(descriptor >> 32 & 0x3fff) << 4),
        base(static_cast<uint32_t>(descriptor >> 49 & 7)),
        swizzle(static_cast<uint32_t>(descriptor >> 62)) {}

  // Byte of the chunk at row i, column k (a multiple of 8) of a matrix by rows.
  int InRows(int i, int k) const {
    const auto row = static_cast<uint32_t>(i);
    return Byte(row % 8 * 128 + row / 8 * stride +
                static_cast<uint32_t>(k) * 2);
  }
  // Of the chunk at column n (a multiple of 8), row k of one as it lies.
  int InColumns(int n, int k) const {
    const auto column = static_cast<uint32_t>(n),
               row = static_cast<uint32_t>(k);
    return Byte(column % 64 * 2 + column / 64 * leading + row % 8 * 128 +
                row / 8 * stride);
  }
  int Byte(uint32_t offset) const {
    return static_cast<int>(Swizzled128(start + offset));
  }
  const char* WhatIsWrong() const {
    if (swizzle != 1) return "multiplies a matrix that is not swizzled";
    if (base != 0 || (start >> 7 & 7) != 0) {
      return "multiplies a matrix that begins inside a swizzle of 1024 bytes";
    }
    return nullptr;
  }

  uint32_t start, leading, stride, base, swizzle;
};

// call(byte, i, k) for the chunks of a [count, kDepth] matrix, transposed one
// with `columns`; i, k: of the chunk's first element.
template <typename Call>
void ForChunks(const Matrix& m, bool columns, int first, int count,
               const Call& call) {
  if (columns) {
    for (int k = 0; k < kDepth; ++k) {
      for (int n = 0; n < count; n += kChunk) call(m.InColumns(n, k), n, k);
    }
    return;
  }
  for (int i = 0; i < count; ++i) {
    for (int k = 0; k < kDepth; k += kChunk) {
      call(m.InRows(first + i, k), i, k);
    }
  }
}

void Poison(const std::array<Accumulator*, kWarpSize>& c, int count) {
  const auto nan = std::bit_cast<float>(kUnderWay);
  for (Accumulator* lane : c) {
    for (int n = 0; n < count; ++n) {
      for (float& value : lane[n].c) std::memcpy(&value, &nan, sizeof(nan));
    }
  }
}

bool IsPoisoned(const std::array<Accumulator*, kWarpSize>& c, int count) {
  for (const Accumulator* lane : c) {
    for (int n = 0; n < count; ++n) {
      for (const float& value : lane[n].c) {
        uint32_t bits;
        std::memcpy(&bits, &value, sizeof(bits));
        if (bits != kUnderWay) return false;
      }
    }
  }
  return true;
}

}  // namespace

GroupProducts::GroupProducts(int warps, std::byte* shared, int shared_bytes,
                             SharedShadow* shadow, Report report)
    : shared_(shared),
      shared_bytes_(shared_bytes),
      shadow_(shadow),
      report_(std::move(report)),
      warps_(static_cast<size_t>(warps)) {}

void GroupProducts::BeginBlock() { warps_.assign(warps_.size(), {}); }

void GroupProducts::Issue(int warp, GroupProduct product) {
  Warp& w = Of(warp);
  if (!w.fenced) {
    report_(warp, product.where, "multiplies without a GroupFence before");
  }
  CheckPinned(warp, product);
  CheckAlike(warp, product);
  CheckReads(warp, product);
  Take(warp, product);
  w.queue.push_back({std::move(product), w.group});
}

void GroupProducts::Pin(int warp, const Registers& registers) {
  Warp& w = Of(warp);
  w.pinned.push_back(registers);
  std::erase_if(w.unpinned,
                [&](const Sum& sum) { return registers.Has(sum.c[0]); });
}

void GroupProducts::Fence(int warp, const Where& where) {
  Warp& w = Of(warp);
  w.fenced = true;
  if (w.unpinned.empty()) return;
  report_(warp, where, "multiplies before sums of the last wait were pinned");
  w.unpinned.clear();
}

// Registers that are not under way were pinned since the last wait.
void GroupProducts::CheckPinned(int warp, const GroupProduct& product) {
  const auto is_pinned = [&](const void* at) {
    const auto& pinned = Of(warp).pinned;
    return std::any_of(pinned.begin(), pinned.end(),
                       [&](const Registers& r) { return r.Has(at); });
  };
  const GroupProduct::Lane& first = product.lanes[0];
  if (SumOf(warp, first.c) == nullptr && !is_pinned(first.c)) {
    report_(warp, product.where, "multiplies into sums that were not pinned");
  }
  if (first.a != nullptr && !is_pinned(first.a)) {
    report_(warp, product.where, "multiplies a factor that was not pinned");
  }
}

// The warps of a group issue the same products in the same order.
void GroupProducts::CheckAlike(int warp, const GroupProduct& product) {
  auto& issued = Of(warp).issued;
  issued.push_back({product.a_rows, product.b});
  const int first = warp / kWarpsOfGroup * kWarpsOfGroup;
  for (int other = first; other < first + kWarpsOfGroup; ++other) {
    if (other >= static_cast<int>(warps_.size())) {
      report_(warp, product.where, "multiplies with fewer than four warps");
      return;
    }
    const auto& theirs = Of(other).issued;
    if (theirs.size() < issued.size()) continue;
    if (theirs[issued.size() - 1] == issued.back()) continue;
    report_(warp, product.where, "multiplies other matrices than its group");
    return;
  }
}

void GroupProducts::CheckReads(int warp, const GroupProduct& product) {
  const char* wrong = nullptr;
  const auto read = [&](int byte, int, int) {
    if (byte < 0 || byte + kCopyBytes > shared_bytes_) {
      wrong = "multiplies shared memory outside the block's";
    } else if (const char* found = shadow_->BeginProductRead(
                   byte, kCopyBytes, warp, Of(warp).group)) {
      wrong = found;
    }
  };
  const Matrix b(product.b);
  ForChunks(b, product.columns, 0, 8 * product.count, read);
  const char* shape = b.WhatIsWrong();
  if (product.lanes[0].a == nullptr) {
    const Matrix a(product.a_rows);
    ForChunks(a, false, warp % kWarpsOfGroup * kRowsOfWarp, kRowsOfWarp, read);
    if (shape == nullptr) shape = a.WhatIsWrong();
  }
  if (shape != nullptr) wrong = shape;
  if (wrong != nullptr) report_(warp, product.where, wrong);
}

GroupProducts::Sum* GroupProducts::SumOf(int warp, const Accumulator* first) {
  for (Sum& sum : Of(warp).sums) {
    if (sum.c[0] == first) return &sum;
  }
  return nullptr;
}

// The accumulators are the product's from here on.
void GroupProducts::Take(int warp, const GroupProduct& product) {
  Warp& w = Of(warp);
  Sum* sum = SumOf(warp, product.lanes[0].c);
  if (sum == nullptr) {
    sum = &w.sums.emplace_back();
    sum->count = product.count;
    sum->where = product.where;
    for (int lane = 0; lane < kWarpSize; ++lane) {
      Accumulator* c = product.lanes[static_cast<size_t>(lane)].c;
      sum->c[static_cast<size_t>(lane)] = c;
      for (int n = 0; n < product.count; ++n) {
        sum->value.insert(sum->value.end(), c[n].c, c[n].c + 4);
      }
    }
    Poison(sum->c, sum->count);
  }
  sum->last_group = w.group;
}

void GroupProducts::Run(int warp, const GroupProduct& product, Sum* sum) {
  float a[kRowsOfWarp][kDepth], b[kDepth][256], row[kChunk];
  const int columns = 8 * product.count;
  ForChunks(Matrix(product.b), product.columns, 0, columns,
            [&](int byte, int n, int k) {
              if (byte + kCopyBytes > shared_bytes_) return;
              product.to_floats(shared_ + byte, kChunk, row);
              for (int e = 0; e < kChunk; ++e) {
                (product.columns ? b[k][n + e] : b[k + e][n]) = row[e];
              }
            });
  if (product.lanes[0].a == nullptr) {
    ForChunks(Matrix(product.a_rows), false, warp % kWarpsOfGroup * kRowsOfWarp,
              kRowsOfWarp, [&](int byte, int i, int k) {
                if (byte + kCopyBytes > shared_bytes_) return;
                product.to_floats(shared_ + byte, kChunk, &a[i][k]);
              });
  } else {
    for (int lane = 0; lane < kWarpSize; ++lane) {
      const auto& in = product.lanes[static_cast<size_t>(lane)].a_at_issue;
      const int g = lane / 4, t = lane % 4;
      for (int r = 0; r < 4; ++r) {
        const auto* pair = reinterpret_cast<const std::byte*>(&in.r[r]);
        product.to_floats(pair, 2, &a[g + 8 * (r % 2)][2 * t + 8 * (r / 2)]);
      }
    }
  }
  float c[kRowsOfWarp][256] = {};
  for (int i = 0; i < kRowsOfWarp; ++i) {
    for (int k = 0; k < kDepth; ++k) {
      for (int j = 0; j < columns; ++j) c[i][j] += a[i][k] * b[k][j];
    }
  }
  float* value = sum->value.data();
  for (int lane = 0; lane < kWarpSize; ++lane) {
    const int g = lane / 4, t = lane % 4;
    for (int n = 0; n < product.count; ++n) {
      for (int r = 0; r < 4; ++r, ++value) {
        const float own = c[g + 8 * (r / 2)][8 * n + 2 * t + r % 2];
        *value = product.add ? *value + own : own;
      }
    }
  }
}

void GroupProducts::GiveBack(int warp, const Sum& sum) {
  if (!IsPoisoned(sum.c, sum.count)) {
    report_(warp, sum.where,
            "begins a product whose sums change before its wait");
  }
  const float* value = sum.value.data();
  for (Accumulator* lane : sum.c) {
    for (int n = 0; n < sum.count; ++n, value += 4) {
      std::copy(value, value + 4, lane[n].c);
    }
  }
}

void GroupProducts::Wait(int warp, int groups_left) {
  Warp& w = Of(warp);
  w.fenced = false;
  w.pinned.clear();
  const int64_t done_below = w.group - groups_left;
  auto end = w.queue.begin();
  for (; end != w.queue.end() && end->group < done_below; ++end) {
    const GroupProduct& product = end->product;
    for (const GroupProduct::Lane& lane : product.lanes) {
      if (lane.a != nullptr &&
          std::memcmp(lane.a, &lane.a_at_issue, sizeof(FragmentA)) != 0) {
        report_(warp, product.where,
                "begins a product whose factor changes before its wait");
        break;
      }
    }
    Run(warp, product, SumOf(warp, product.lanes[0].c));
  }
  w.queue.erase(w.queue.begin(), end);
  std::erase_if(w.sums, [&](const Sum& sum) {
    if (sum.last_group >= done_below) return false;
    GiveBack(warp, sum);
    w.unpinned.push_back(sum);
    return true;
  });
  shadow_->EndProductReads(warp, done_below - 1);
}

bool IsUnderWay(float x) {
  constexpr uint32_t kQuiet = 0x00400000u;  // which arithmetic sets
  return (std::bit_cast<uint32_t>(x) | kQuiet) == (kUnderWay | kQuiet);
}

void GroupProducts::EndBlock() {
  for (size_t warp = 0; warp < warps_.size(); ++warp) {
    if (warps_[warp].queue.empty()) continue;
    report_(static_cast<int>(warp), warps_[warp].queue.front().product.where,
            "begins a product that no wait ends");
  }
  for (size_t warp = 0; warp < warps_.size(); ++warp) {
    if (warps_[warp].unpinned.empty()) continue;
    report_(static_cast<int>(warp), warps_[warp].unpinned.front().where,
            "begins a product whose sums nobody pins behind its wait");
  }
}

}  // namespace rattn::cuda
