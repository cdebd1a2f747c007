#include "tasks/params.h"

#include <fmt/format.h>

#include <algorithm>

#include "kernels/nearest_name.h"
#include "models/error.h"

namespace rattn {

Json ParseParams(std::string_view task, const std::string& text) {
  if (text.empty()) return Json::object();
  const std::string origin = fmt::format("parameters of {}", task);
  Json json = ParseJsonText(text, origin);
  if (json.is_null()) return Json::object();
  if (!json.is_object()) {
    throw UserError(origin + ": must be a JSON object, like {\"seed\": 1}");
  }
  return json;
}

void CheckRange(std::string_view origin, std::string_view key, int64_t value,
                int64_t least, int64_t most) {
  if (value < least || value > most) {
    throw UserError(fmt::format("{}: \"{}\" must be from {} to {}, not {}",
                                origin, key, least, most, value));
  }
}

void CheckLength(std::string_view origin, int64_t length, int64_t least) {
  if (length < least) {
    throw UserError(fmt::format(
        "{}: a length of {} tokens is too short, the least possible is {}",
        origin, length, least));
  }
  if (length > kMaxLength) {
    throw UserError(
        fmt::format("{}: a length of {} tokens is too long, the most is {}",
                    origin, length, kMaxLength));
  }
}

void CheckIndex(std::string_view origin, int64_t index) {
  CheckRange(origin, "index", index, 0, int64_t{1} << 40);
}

void CheckOneOf(std::string_view origin, std::string_view key,
                const std::string& value,
                const std::vector<std::string>& known) {
  if (std::find(known.begin(), known.end(), value) == known.end()) {
    throw UserError(fmt::format("{}: \"{}\" cannot be \"{}\"{}", origin, key,
                                value, NearestHint(value, known)));
  }
}

std::string HexHash(std::string_view bytes) {
  uint64_t hash = 0xcbf29ce484222325u;
  for (const char byte : bytes) {
    hash = (hash ^ static_cast<unsigned char>(byte)) * 0x100000001b3u;
  }
  return fmt::format("{:016x}", hash);
}

std::string FingerprintOf(std::string_view task, const Json& params) {
  return fmt::format("{}-{}", task, HexHash(params.dump()));
}

}  // namespace rattn
