// Parameters of tasks: reading, bounds, fingerprints.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "models/json_fields.h"

namespace rattn {

// Far above any sequence, far below what overflows or exhausts memory.
inline constexpr int64_t kMaxLength = int64_t{1} << 24;

// An object; empty text means no parameters. Throws UserError.
Json ParseParams(std::string_view task, const std::string& text);

// Throws UserError that names the parameter and its bounds.
void CheckRange(std::string_view origin, std::string_view key, int64_t value,
                int64_t least, int64_t most);
// Throws UserError that names the least possible length.
void CheckLength(std::string_view origin, int64_t length, int64_t least);
// Of a sample: not negative.
void CheckIndex(std::string_view origin, int64_t index);
// Throws UserError that names the nearest of `known`.
void CheckOneOf(std::string_view origin, std::string_view key,
                const std::string& value,
                const std::vector<std::string>& known);

// 16 hex digits of a 64-bit FNV-1a hash.
std::string HexHash(std::string_view bytes);
// Name and hash of everything that determines a task's training data.
std::string FingerprintOf(std::string_view task, const Json& params);

}  // namespace rattn
