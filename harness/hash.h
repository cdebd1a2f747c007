// Stable names for cells and products: FNV-1a, 128 bits, of canonical JSON.
#pragma once

#include <string>
#include <string_view>

#include "models/json_fields.h"

namespace rattn {

// 32 hex digits. The same text gives the same digits on every machine.
std::string HashText(std::string_view text);

// Hash of a value whatever the order of its keys.
std::string HashJson(const Json& value);

}  // namespace rattn
