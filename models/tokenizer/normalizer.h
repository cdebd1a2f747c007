// Normalizers of tokenizer.json: what happens to a text before it is cut.
#pragma once

#include <functional>
#include <string>

#include "models/tokenizer/component.h"

namespace rattn {

// Rewrites valid UTF-8.
using Normalizer = std::function<void(std::string* text)>;

// Throws UserError that names an unsupported type.
Normalizer MakeNormalizer(const Component& component);

}  // namespace rattn
