#include "harness/hash.h"

#include <fmt/format.h>

#include <cstdint>

namespace rattn {

std::string HashText(std::string_view text) {
  using U128 = unsigned __int128;
  constexpr U128 kPrime = (U128{1} << 88) + 0x13b;
  U128 hash = (U128{0x6c62272e07bb0142} << 64) | 0x62b821756295c58d;
  for (const unsigned char c : text) hash = (hash ^ c) * kPrime;
  return fmt::format("{:016x}{:016x}", static_cast<uint64_t>(hash >> 64),
                     static_cast<uint64_t>(hash));
}

std::string HashJson(const Json& value) {
  // nlohmann::json sorts the keys of objects; Json keeps their order.
  return HashText(nlohmann::json(value).dump());
}

}  // namespace rattn
