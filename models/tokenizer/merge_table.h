// What two neighbouring ids become, and how early.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace rattn {

struct MergeRule {
  uint32_t rank = 0;  // the lowest is done first
  int32_t id = -1;    // of the merged piece
};

// A hash table with open addressing: encoding is mostly looking up here.
class MergeTable {
 public:
  explicit MergeTable(size_t rules);
  // Of two rules for a pair the later counts.
  void Set(int32_t left, int32_t right, const MergeRule& rule);
  // nullptr where the two stay apart.
  const MergeRule* Find(int32_t left, int32_t right) const {
    const Slot& slot = slots_[SlotOf(Key(left, right))];
    return slot.key == kFree ? nullptr : &slot.rule;
  }

 private:
  struct Slot {
    uint64_t key;
    MergeRule rule;
  };
  static constexpr uint64_t kFree = ~uint64_t{0};
  static uint64_t Key(int32_t left, int32_t right) {
    return (static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32) |
           static_cast<uint32_t>(right);
  }
  size_t SlotOf(uint64_t key) const {
    size_t slot = (key * 0x9e3779b97f4a7c15) >> shift_;
    while (slots_[slot].key != key && slots_[slot].key != kFree) {
      slot = (slot + 1) & (slots_.size() - 1);
    }
    return slot;
  }

  std::vector<Slot> slots_;  // a power of two
  int shift_;
};

}  // namespace rattn
