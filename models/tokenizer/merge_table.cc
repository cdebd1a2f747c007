#include "models/tokenizer/merge_table.h"

#include <algorithm>
#include <bit>

namespace rattn {

MergeTable::MergeTable(size_t rules)
    : slots_(std::bit_ceil(std::max<size_t>(2 * rules, 16)), Slot{kFree, {}}),
      shift_(64 - std::countr_zero(slots_.size())) {}

void MergeTable::Set(int32_t left, int32_t right, const MergeRule& rule) {
  const uint64_t key = Key(left, right);
  slots_[SlotOf(key)] = {key, rule};
}

}  // namespace rattn
