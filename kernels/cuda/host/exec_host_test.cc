// The policy itself: what it computes, and that each kind of mistake is
// reported with its block, thread and line.
#include "kernels/cuda/host/exec_host.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

namespace rattn::cuda {
namespace {

using ::testing::HasSubstr;

// A kernel from a lambda.
struct AnyKernel {
  static constexpr const char* kName = "test";
  static constexpr int kThreads = 64;
  using Params = std::function<void(HostExec&)>;
  static void Body(HostExec& x, const Params& body) { body(x); }
};

constexpr int kSharedBytes = 4096;

std::string Execute(const AnyKernel::Params& body, int blocks = 1) {
  Findings findings;
  HostLauncher(&findings).Run<AnyKernel>(
      {.grid = {blocks, 1, 1}, .shared_bytes = kSharedBytes}, body);
  return findings.Text();
}

GlobalView<float> Row(std::vector<float>* data) {
  const auto n = static_cast<int64_t>(data->size());
  return {data->data(), {1, 1, 1, n}, {n, n, n, 1}};
}

// ------------------------------------------------------------- what it does

TEST(HostExec, BarriersOrderTheBlock) {
  std::vector<float> out(128);
  const auto view = Row(&out);
  EXPECT_EQ(Execute(
                [&](HostExec& x) {
                  auto s = x.SharedAt<float>(0, 64);
                  for (int round = 0; round < 3; ++round) {
                    x.StoreShared(s, x.thread(),
                                  static_cast<float>(x.thread() + round));
                    x.Barrier();
                    const float other = x.LoadShared(s, 63 - x.thread());
                    x.Barrier();
                    x.Store(view, 0, 0, 0, x.block(0) * 64 + x.thread(), other);
                  }
                },
                2),
            "");
  for (int i = 0; i < 128; ++i) EXPECT_EQ(out[i], 63 - i % 64 + 2);
}

TEST(HostExec, ShufflesWithinWarps) {
  std::vector<float> out(64);
  const auto view = Row(&out);
  EXPECT_EQ(Execute([&](HostExec& x) {
              float sum = static_cast<float>(x.thread());
              for (int mask = 16; mask > 0; mask /= 2) {
                sum += x.ShuffleXor(sum, mask);
              }
              x.Store(view, 0, 0, 0, x.thread(), sum);
            }),
            "");
  EXPECT_EQ(out[5], 31 * 16);
  EXPECT_EQ(out[40], 31 * 16 + 32 * 32);
}

TEST(HostExec, CopiesArriveAtTheirWait) {
  std::vector<float> in(64), out(64);
  for (int i = 0; i < 64; ++i) in[i] = static_cast<float>(i);
  const auto from = ReadOnly(Row(&in));
  const auto view = Row(&out);
  EXPECT_EQ(Execute([&](HostExec& x) {
              auto s = x.SharedAt<float>(0, 64);
              if (x.thread() < 16) {
                const int i = 4 * x.thread();
                x.CopyAsync(s, i, from, 0, 0, 0, i, x.thread() != 3);
              }
              x.CommitCopies();
              x.WaitCopies<0>();
              x.Barrier();
              x.Store(view, 0, 0, 0, x.thread(), x.LoadShared(s, x.thread()));
            }),
            "");
  for (int i = 0; i < 64; ++i) EXPECT_EQ(out[i], i / 4 == 3 ? 0 : i);
}

// A [16, 16] times B [16, 8] through shared memory and fragments, the second
// warp with B^T as it lies.
template <typename T>
void CheckMma() {
  const auto a_at = [](int i, int k) { return 0.25f * ((3 * i + 5 * k) % 11); };
  const auto b_at = [](int k, int j) { return 0.5f * ((7 * k + j) % 9) - 1; };
  std::vector<float> out(256);
  const auto view = Row(&out);
  EXPECT_EQ(
      Execute([&](HostExec& x) {
        auto a = x.SharedAt<T>(0, 256), b = x.SharedAt<T>(512, 256),
             bt = x.SharedAt<T>(1024, 256);
        for (int e = x.thread(); e < 256; e += 64) {
          const int r = e / 16, c = e % 16;
          x.StoreShared(a, e, x.Round<T>(a_at(r, c)));
          x.StoreShared(b, e, x.Round<T>(b_at(r, c)));
          x.StoreShared(bt, e, x.Round<T>(b_at(c, r)));
        }
        x.Barrier();
        const int row = x.lane() % 16, half = x.lane() / 16 * 8;
        const Word4 fa = x.LoadMatrix4(a, row * 16 + half);
        // Matrices 0 and 1: k below 8 and above, columns 0..7.
        const Word4 fb =
            x.warp() == 0
                ? x.LoadMatrix4Transposed(b, row * 16 + half)
                : x.LoadMatrix4(bt, x.lane() % 8 * 16 + x.lane() / 8 % 2 * 8);
        Accumulator c = {};
        x.Mma<T>({fa.w[0], fa.w[1], fa.w[2], fa.w[3]}, {fb.w[0], fb.w[1]}, &c);
        for (int r = 0; r < 4; ++r) {
          const int i = x.lane() / 4 + r / 2 * 8;
          const int j = x.lane() % 4 * 2 + r % 2;
          x.Store(view, 0, 0, 0, x.warp() * 128 + i * 8 + j, c.c[r]);
        }
      }),
      "");
  for (int i = 0; i < 16; ++i) {
    for (int j = 0; j < 8; ++j) {
      float sum = 0;
      for (int k = 0; k < 16; ++k) sum += a_at(i, k) * b_at(k, j);
      EXPECT_EQ(out[i * 8 + j], sum);
      EXPECT_EQ(out[128 + i * 8 + j], sum);
    }
  }
}
TEST(HostExec, MmaFollowsTheFragmentLayout) {
  CheckMma<Bf16>();
  CheckMma<Fp16>();
}

// ------------------------------------------------------- what it must report

struct Mistake {
  const char* expected;
  AnyKernel::Params body;
};

void ExpectReported(const std::vector<Mistake>& mistakes) {
  for (const Mistake& m : mistakes)
    EXPECT_THAT(Execute(m.body), HasSubstr(m.expected));
}

TEST(HostExec, SaysWhereAMistakeIs) {
  const unsigned line = __LINE__ + 4;
  const std::string text = Execute(
      [](HostExec& x) {
        if (x.block(0) != 1 || x.thread() != 37) return;
        x.LoadShared(x.SharedAt<float>(0, 4), 1);
      },
      2);
  EXPECT_EQ(text, "test, block (1,0,0), thread 37, exec_host_test.cc:" +
                      std::to_string(line) +
                      ": reads shared memory that nobody has written\n");
}

TEST(HostExec, FindsMissingBarriers) {
  ExpectReported({
      {"another thread wrote, no barrier",
       [](HostExec& x) {
         auto s = x.SharedAt<float>(0, 64);
         x.StoreShared(s, x.thread(), 1.f);
         x.LoadShared(s, x.thread() / 2);
       }},
      {"another thread still reads",
       [](HostExec& x) {
         auto s = x.SharedAt<float>(0, 64);
         x.StoreShared(s, x.thread(), 1.f);
         x.Barrier();
         x.LoadShared(s, 63 - x.thread());
         x.StoreShared(s, x.thread(), 2.f);
       }},
      {"writes shared memory that another thread wrote",
       [](HostExec& x) { x.StoreShared(x.SharedAt<float>(0, 1), 0, 1.f); }},
      {"another thread wrote, no barrier",  // lanes act together
       [](HostExec& x) {
         auto s = x.SharedAt<Bf16>(0, 512);
         for (int i = 0; i < 8; ++i) {
           x.StoreShared(s, x.thread() * 8 + i, Bf16{});
         }
         x.LoadMatrix4(s, x.thread() * 8);
       }},
  });
  // A warp's barrier orders its own lanes and no others.
  const auto through_warp = [](int distance) {
    return Execute([distance](HostExec& x) {
      auto s = x.SharedAt<float>(0, 64);
      x.StoreShared(s, x.thread(), 1.f);
      x.WarpBarrier();
      x.LoadShared(s, x.thread() ^ distance);
    });
  };
  EXPECT_EQ(through_warp(1), "");
  EXPECT_THAT(through_warp(32), HasSubstr("no barrier between"));
}

TEST(HostExec, FindsMissingWaits) {
  std::vector<float> in(64);
  const auto from = ReadOnly(Row(&in));
  const auto copy = [from](HostExec& x) {
    auto s = x.SharedAt<float>(0, 256);
    x.CopyAsync(s, 4 * x.thread(), from, 0, 0, 0, 0, true);
    return s;
  };
  ExpectReported({
      {"without a wait",
       [&](HostExec& x) {
         auto s = copy(x);
         x.CommitCopies();
         x.Barrier();
         x.LoadShared(s, x.thread());
         x.WaitCopies<0>();
       }},
      {"without a wait",  // the wait leaves this group out
       [&](HostExec& x) {
         auto s = copy(x);
         x.CommitCopies();
         x.WaitCopies<1>();
         x.Barrier();
         x.LoadShared(s, x.thread());
         x.WaitCopies<0>();
       }},
      {"without a wait",  // never committed
       [&](HostExec& x) {
         auto s = copy(x);
         x.WaitCopies<0>();
         x.Barrier();
         x.LoadShared(s, x.thread());
       }},
      {"no barrier between",  // each thread's wait is its own
       [&](HostExec& x) {
         auto s = copy(x);
         x.CommitCopies();
         x.WaitCopies<0>();
         x.LoadShared(s, x.thread());
       }},
      {"under an asynchronous copy",
       [&](HostExec& x) {
         x.StoreShared(copy(x), 4 * x.thread(), 1.f);
         x.CommitCopies();
         x.WaitCopies<0>();
       }},
      {"ends with asynchronous copies", [&](HostExec& x) { copy(x); }},
  });
}

TEST(HostExec, FindsAccessesOutOfBounds) {
  std::vector<float> data(64);
  const GlobalView<float> view{data.data(), {2, 2, 2, 8}, {32, 16, 8, 1}};
  GlobalView<float> strided = view;
  strided.shape[3] = 4;
  strided.stride[3] = 2;
  const auto vector = [](const GlobalView<float>& from, int at) {
    return [from = ReadOnly(from), at](HostExec& x) {
      auto s = x.SharedAt<float>(0, 256);
      x.CopyAsync(s, 4 * x.thread(), from, 0, 0, 0, at, true);
      x.CommitCopies();
      x.WaitCopies<0>();
    };
  };
  ExpectReported({
      {"global memory out of bounds",  // inside the allocation all the same
       [&](HostExec& x) { x.Load(ReadOnly(view), 0, 0, 2, 0); }},
      {"global memory out of bounds",
       [&](HostExec& x) { x.Store(view, 0, -1, 0, 0, 1.f); }},
      {"global memory out of bounds",
       [](HostExec& x) { x.Load(GlobalView<const float>(), 0, 0, 0, 0); }},
      {"global memory out of bounds", vector(view, 5)},
      {"not aligned", vector(view, 3)},
      {"strided axis", vector(strided, 0)},
      {"outside its part of shared memory",
       [](HostExec& x) { x.StoreShared(x.SharedAt<float>(0, 4), 4, 1.f); }},
      {"the launch does not have",
       [](HostExec& x) { x.SharedAt<float>(kSharedBytes - 16, 5); }},
  });
  EXPECT_EQ(data, std::vector<float>(64));
}

TEST(HostExec, FindsThreadsThatNeverMeet) {
  ExpectReported({
      {"waits for threads that never come",
       [](HostExec& x) {
         if (x.thread() != 63) x.Barrier();
       }},
      {"waits for threads that never come",
       [](HostExec& x) {
         if (x.lane() != 5) x.ShuffleXor(1, 1);
       }},
      {"another operation",
       [](HostExec& x) {
         if (x.lane() < 16) {
           x.WarpBarrier();
         } else {
           Accumulator c = {};
           x.Mma<Bf16>({}, {}, &c);
         }
       }},
  });
  // A dropped block leaves no trace in the next.
  EXPECT_EQ(Execute([](HostExec& x) { x.Barrier(); }), "");
}

}  // namespace
}  // namespace rattn::cuda
