// Products of four warps on the CPU (exec.h: GroupMma and its kin). Each warp
// computes its own 16 rows, and only at the wait: until then accumulators hold
// a signalling NaN, which arithmetic changes, so that a use shows.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string_view>
#include <vector>

#include "kernels/cuda/exec.h"
#include "kernels/cuda/host/findings.h"
#include "kernels/cuda/host/shared_shadow.h"

namespace rattn::cuda {

// One product, as all lanes of a warp ask for it.
struct GroupProduct {
  struct Lane {
    const FragmentA* a = nullptr;  // null: `a_rows`
    FragmentA a_at_issue = {};
    Accumulator* c = nullptr;
  };
  std::array<Lane, kWarpSize> lanes;
  uint64_t a_rows = 0, b = 0;  // descriptors
  bool columns = false;        // b as GroupMmaColumns takes it
  bool add = true;
  int count = 0;  // accumulators of a lane
  void (*to_floats)(const std::byte* from, int count, float* to) = nullptr;
  Where where;
};

class GroupProducts {
 public:
  // report(warp, where, what)
  using Report = std::function<void(int, const Where&, std::string_view)>;
  GroupProducts(int warps, std::byte* shared, int shared_bytes,
                SharedShadow* shadow, Report report);

  void BeginBlock();
  void Issue(int warp, GroupProduct product);
  void Fence(int warp, const Where& where);
  // Of lane 0.
  struct Registers {
    const void* begin = nullptr;
    const void* end = nullptr;
    bool Has(const void* at) const { return begin <= at && at < end; }
  };
  void Pin(int warp, const Registers& registers);
  void Commit(int warp) { ++Of(warp).group; }
  void Wait(int warp, int groups_left);
  void EndBlock();  // reports what no wait has ended

 private:
  // The accumulators of a warp that products under way add to.
  struct Sum {
    std::array<Accumulator*, kWarpSize> c;
    std::vector<float> value;  // [lane, count, 4]
    int count = 0;
    int64_t last_group = 0;
    Where where;
  };
  struct Queued {
    GroupProduct product;
    int64_t group;
  };
  struct Warp {
    std::vector<Queued> queue;
    std::vector<Sum> sums;
    int64_t group = 0;
    bool fenced = false;
    std::vector<Registers> pinned;  // since the last wait
    std::vector<Sum> unpinned;      // that the last waits have ended
    // Of products that the warps of a group must issue alike.
    std::vector<std::array<uint64_t, 2>> issued;
  };

  Warp& Of(int warp) { return warps_[static_cast<size_t>(warp)]; }
  void CheckPinned(int warp, const GroupProduct& product);
  void CheckAlike(int warp, const GroupProduct& product);
  void CheckReads(int warp, const GroupProduct& product);
  void Take(int warp, const GroupProduct& product);
  void Run(int warp, const GroupProduct& product, Sum* sum);
  void GiveBack(int warp, const Sum& sum);
  Sum* SumOf(int warp, const Accumulator* first);

  std::byte* shared_;
  int shared_bytes_;
  SharedShadow* shadow_;
  Report report_;
  std::vector<Warp> warps_;
};

// Whether x comes from a sum of a product under way.
bool IsUnderWay(float x);

}  // namespace rattn::cuda
