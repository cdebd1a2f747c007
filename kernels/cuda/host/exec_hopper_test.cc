// What the policy adds for compute capability 9.0: what it computes, and that
// each kind of mistake is reported.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

#include "kernels/cuda/group_tile.h"
#include "kernels/cuda/host/exec_host.h"
#include "kernels/cuda/tile_map.h"

namespace rattn::cuda {
namespace {

using ::testing::HasSubstr;

constexpr int kSize = 64;  // rows and columns of every matrix

// Four warps that copy b from a tensor and multiply it with a of their own.
template <typename T>
class Products {
 public:
  static constexpr const char* kName = "products";
  static constexpr int kThreads = 128;
  using Matrix = PanelTile<T, kSize, kSize>;
  using Sums = Accumulator (&)[kSize / 8];
  static constexpr Matrix kA = {0}, kB = {Matrix::kBytes},
                          kOther = {2 * Matrix::kBytes};
  static constexpr int kPhasesAt = 3 * Matrix::kBytes;
  static constexpr int kTokens = 50, kFirst = 3;  // of the box

  // Steps of a correct kernel, each to be replaced by a mistake.
  struct Params {
    std::function<void(HostExec&)> fence = [](HostExec& x) { x.FenceAsync(); };
    std::function<void(HostExec&)> copy = [](HostExec& x) {
      x.ArriveExpecting(Phases(x), 0, Matrix::kBytes);
    };
    std::function<void(HostExec&)> wait = [](HostExec& x) {
      x.WaitPhase(Phases(x), 0, 0);
    };
    std::function<void(HostExec&, Sums)> begin = [](HostExec& x, Sums c) {
      x.Pin(c);
      x.GroupFence();
    };
    std::function<void(HostExec&, Sums)> end = [](HostExec& x, Sums c) {
      x.GroupCommit();
      x.template GroupWait<0>();
      x.Pin(c);
    };
    TileMap map;
    GlobalView<float> rows, columns;  // [1, 1, kSize, kSize] products
    bool multiply = true;
  };

  static Shared<uint64_t> Phases(HostExec& x) {
    return x.SharedAt<uint64_t>(kPhasesAt, 2);
  }
  static float AAt(int i, int k) { return 0.25f * ((3 * i + 5 * k) % 11); }

  static void Body(HostExec& x, const Params& p) {
    if (x.thread() == 0) x.InitPhases(Phases(x), 0, 1);
    for (int e = x.thread(); e < kSize * kSize; e += kThreads) {
      const int r = e / kSize, c = e % kSize;
      x.StoreShared(kA.PanelAt(x, 0).data, Matrix::Panel::Index(r, c),
                    x.template Round<T>(AAt(r, c)));
    }
    p.fence(x);
    x.Barrier();
    if (x.thread() == 0) {
      p.copy(x);
      x.CopyBox(kB.PanelAt(x, 0).data, 0, p.map, 0, 0, kFirst, 0, Phases(x), 0);
    }
    p.wait(x);
    if (!p.multiply) return;
    Accumulator c[kSize / 8] = {};
    p.begin(x, c);
    BeginRowProducts(x, kA, 0, kB, c);
    p.end(x, c);
    StoreSums(x, p.rows, c);
    MultiplyColumns(x, p, c);
  }

 private:
  // `by`: rounded to T, times b as it lies.
  static void MultiplyColumns(HostExec& x, const Params& p, Sums by) {
    FragmentA a[kSize / 16];
    for (int i = 0; i < kSize / 16; ++i) {
      a[i] = AsA<T>(x, by[2 * i], by[2 * i + 1]);
    }
    Accumulator c[kSize / 8] = {};
    x.Pin(a);
    p.begin(x, c);
    BeginWeighted(x, a, kB, c);
    p.end(x, c);
    StoreSums(x, p.columns, c);
  }
  static void StoreSums(HostExec& x, const GlobalView<float>& to, Sums c) {
    for (int n = 0; n < kSize / 8; ++n) {
      for (int r = 0; r < 4; ++r) {
        const int i = 16 * x.warp() + AccumulatorRow(x.lane(), r / 2);
        const int j = 8 * n + AccumulatorColumn(x.lane()) + r % 2;
        x.Store(to, 0, 0, i, j, c[n].c[r]);
      }
    }
  }
};

template <typename T>
struct Calculation {
  using Kernel = Products<T>;
  Calculation()
      : b(Kernel::kTokens * kSize), rows(kSize * kSize), columns(rows) {
    for (size_t i = 0; i < b.size(); ++i) {
      b[i] = host::Rounded<T>(0.5f * static_cast<float>(7 * i % 9) - 1);
    }
    const GlobalView<const T> view{
        b.data(), {1, Kernel::kTokens, 1, kSize}, {0, kSize, 0, 1}};
    params.map = MapOfTokens(view, kSize);
    EXPECT_TRUE(IsMappable(params.map));
    params.rows = {rows.data(), {1, 1, kSize, kSize}, {0, 0, kSize, 1}};
    params.columns = {columns.data(), {1, 1, kSize, kSize}, {0, 0, kSize, 1}};
  }
  std::string Execute() {
    Findings findings;
    HostLauncher(&findings).Run<Kernel>(
        {.shared_bytes = Kernel::kPhasesAt + 16}, params);
    return findings.Text();
  }
  // Of the copied box: zeros behind the last token.
  float BAt(int k, int c) const {
    const int token = k + Kernel::kFirst;
    if (token >= Kernel::kTokens) return 0;
    return host::Widened(b[static_cast<size_t>(token * kSize + c)]);
  }

  std::vector<T> b;
  std::vector<float> rows, columns;
  typename Kernel::Params params;
};

template <typename T>
void CheckProducts() {
  Calculation<T> run;
  EXPECT_EQ(run.Execute(), "");
  for (int i = 0; i < kSize; ++i) {
    float weights[kSize];
    for (int j = 0; j < kSize; ++j) {
      float sum = 0;
      for (int d = 0; d < kSize; ++d) {
        sum += Products<T>::AAt(i, d) * run.BAt(j, d);
      }
      EXPECT_FLOAT_EQ(run.rows[i * kSize + j], sum) << i << " " << j;
      weights[j] = host::Widened(host::Rounded<T>(sum));
    }
    for (int c = 0; c < kSize; ++c) {
      float sum = 0;
      for (int k = 0; k < kSize; ++k) sum += weights[k] * run.BAt(k, c);
      EXPECT_NEAR(run.columns[i * kSize + c], sum, 1e-2) << i << " " << c;
    }
  }
}
TEST(HostExecHopper, ProductsFollowTheDescriptors) {
  CheckProducts<Bf16>();
  CheckProducts<Fp16>();
}

using Kernel = Products<Bf16>;

void ExpectReported(const char* text,
                    const std::function<void(Kernel::Params&)>& mistake) {
  Calculation<Bf16> run;
  mistake(run.params);
  EXPECT_THAT(run.Execute(), HasSubstr(text));
}

TEST(HostExecHopper, FindsMistakesWithPhases) {
  ExpectReported("asynchronous copy without a wait",
                 [](Kernel::Params& p) { p.wait = [](HostExec&) {}; });
  ExpectReported("asynchronous copy without a wait", [](Kernel::Params& p) {
    p.wait = [](HostExec& x) { x.WaitPhase(Kernel::Phases(x), 0, 1); };
  });
  // A wait for another box, which came later, is none for this one.
  ExpectReported("a box wrote, no barrier or wait", [](Kernel::Params& p) {
    p.wait = [map = p.map](HostExec& x) {
      if (x.thread() == 0) {
        x.InitPhases(Kernel::Phases(x), 1, 1);
        x.FenceAsync();
        x.ArriveExpecting(Kernel::Phases(x), 1, Kernel::Matrix::kBytes);
        x.CopyBox(Kernel::kOther.PanelAt(x, 0).data, 0, map, 0, 0, 0, 0,
                  Kernel::Phases(x), 1);
      }
      x.WaitPhase(Kernel::Phases(x), 1, 0);
    };
  });
  ExpectReported("phase that never completes", [](Kernel::Params& p) {
    p.copy = [](HostExec& x) {
      x.ArriveExpecting(Kernel::Phases(x), 0, Kernel::Matrix::kBytes + 2);
    };
  });
  ExpectReported("more bytes than its phase expects", [](Kernel::Params& p) {
    p.copy = [](HostExec& x) {
      x.ArriveExpecting(Kernel::Phases(x), 0, Kernel::Matrix::kBytes - 2);
    };
  });
  ExpectReported("phase that has all its arrivals", [](Kernel::Params& p) {
    p.copy = [](HostExec& x) {
      x.ArriveExpecting(Kernel::Phases(x), 0, 16);
      x.Arrive(Kernel::Phases(x), 0);
    };
  });
  ExpectReported("that nobody waits for", [](Kernel::Params& p) {
    p.wait = [](HostExec&) {};
    p.multiply = false;
  });
  ExpectReported("barrier made without FenceAsync", [](Kernel::Params& p) {
    p.fence = [](HostExec& x) {
      if (x.thread() != 0) x.FenceAsync();
    };
  });
}

TEST(HostExecHopper, FindsMistakesWithProducts) {
  ExpectReported("a thread wrote, no FenceAsync", [](Kernel::Params& p) {
    p.fence = [](HostExec& x) {
      if (x.thread() == 0) x.FenceAsync();
    };
  });
  ExpectReported("without a GroupFence", [](Kernel::Params& p) {
    p.begin = [](HostExec& x, Kernel::Sums c) { x.Pin(c); };
  });
  ExpectReported("sums that were not pinned", [](Kernel::Params& p) {
    p.begin = [](HostExec& x, Kernel::Sums) { x.GroupFence(); };
  });
  ExpectReported("before sums of the last wait were pinned",
                 [](Kernel::Params& p) {
                   p.end = [](HostExec& x, Kernel::Sums) {
                     x.GroupCommit();
                     x.GroupWait<0>();
                   };
                   p.begin = [](HostExec& x, Kernel::Sums c) {
                     x.GroupFence();
                     x.Pin(c);
                   };
                 });
  ExpectReported("that no wait ends", [](Kernel::Params& p) {
    p.end = [](HostExec& x, Kernel::Sums) { x.GroupCommit(); };
  });
  ExpectReported("uses a sum of a product under way", [](Kernel::Params& p) {
    p.end = [](HostExec& x, Kernel::Sums c) {
      x.GroupCommit();
      x.ShuffleXor(c[0].c[0], 1);
      x.GroupWait<0>();
      x.Pin(c);
    };
  });
  ExpectReported("sums change before its wait", [](Kernel::Params& p) {
    p.end = [](HostExec& x, Kernel::Sums c) {
      x.GroupCommit();
      c[3].c[1] *= 2;
      x.GroupWait<0>();
      x.Pin(c);
    };
  });
  ExpectReported("other matrices than its group", [](Kernel::Params& p) {
    p.begin = [](HostExec& x, Kernel::Sums c) {
      x.Pin(c);
      x.GroupFence();
      const uint64_t a = Kernel::kA.Rows(x, x.warp() == 2 ? 8 : 0, 0);
      x.GroupMma<Bf16>(a, Kernel::kB.Rows(x, 0, 0), c, false);
    };
  });
  ExpectReported("begins inside a swizzle", [](Kernel::Params& p) {
    p.begin = [](HostExec& x, Kernel::Sums c) {
      x.Pin(c);
      x.GroupFence();
      x.GroupMma<Bf16>(Descriptor(128, 16, kSwizzleBytes),
                       Kernel::kB.Rows(x, 0, 0), c, false);
    };
  });
  ExpectReported("a product under way reads", [](Kernel::Params& p) {
    p.end = [](HostExec& x, Kernel::Sums c) {
      x.GroupCommit();
      if (x.thread() == 0) {
        x.StoreShared(Kernel::kA.PanelAt(x, 0).data, 0, Bf16{});
      }
      x.GroupWait<0>();
      x.Pin(c);
    };
  });
  ExpectReported("a product of another warp has read", [](Kernel::Params& p) {
    p.end = [](HostExec& x, Kernel::Sums c) {
      x.GroupCommit();
      x.GroupWait<0>();
      x.Pin(c);
      if (x.thread() == 127) {
        x.StoreShared(Kernel::kB.PanelAt(x, 0).data, 0, Bf16{});
      }
    };
  });
}

struct Meet {
  static constexpr const char* kName = "meet";
  static constexpr int kThreads = 96;
  using Params = int;  // which thread's word the first warp reads
  static void Body(HostExec& x, const Params& other) {
    auto s = x.SharedAt<float>(0, kThreads);
    x.StoreShared(s, x.thread(), 1.f);
    if (x.warp() < 2) x.NamedBarrier(3, 64);
    if (x.warp() == 0) x.LoadShared(s, other);
  }
};
TEST(HostExecHopper, NamedBarriersOrderTheirWarps) {
  const auto run = [](int other) {
    Findings findings;
    HostLauncher(&findings).Run<Meet>(
        {.shared_bytes = Meet::kThreads * int{sizeof(float)}}, other);
    return findings.Text();
  };
  EXPECT_EQ(run(63), "");
  EXPECT_THAT(run(64), HasSubstr("no barrier between"));
}

TEST(HostExecHopper, NamesWhatTheHardwareRefuses) {
  Calculation<Bf16> run;
  run.params.map.box[0] = 128;
  run.params.map.box[2] = 32;
  EXPECT_THAT(run.Execute(), HasSubstr("beyond the swizzle's 128 bytes"));
  TileMap map = run.params.map;
  map.shape[1] = 2;
  map.stride[0] = 24;
  EXPECT_FALSE(IsMappable(map));
}

}  // namespace
}  // namespace rattn::cuda
