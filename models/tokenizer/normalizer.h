// Normalizers of tokenizer.json: what happens to a text before it is cut.
#pragma once

#include <functional>
#include <string>

#include "models/tokenizer/component.h"
#include "models/tokenizer/text_limit.h"

namespace rattn {

// Rewrites valid UTF-8. Throws UserError beyond the limit.
using Normalizer =
    std::function<void(std::string* text, const TextLimit& limit)>;

// Throws UserError that names an unsupported type.
Normalizer MakeNormalizer(const Component& component);

}  // namespace rattn
