// SHA-256 (FIPS 180-4) as 64 lower-case hexadecimal digits.
#pragma once

#include <string>
#include <string_view>

namespace rattn {

std::string Sha256Hex(std::string_view bytes);

}  // namespace rattn
