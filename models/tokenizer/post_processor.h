// Post-processors of tokenizer.json: ids that are put around a text.
#pragma once

#include <cstdint>
#include <vector>

#include "models/tokenizer/component.h"

namespace rattn {

struct AddedAround {
  std::vector<int32_t> before, after;
};

// For single texts. Throws UserError that names an unsupported type.
AddedAround ReadPostProcessor(const Component& component);

}  // namespace rattn
