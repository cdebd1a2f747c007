#include "harness/hardware.h"

#include <fmt/format.h>

#include <utility>

#include "models/config_files.h"
#include "models/error.h"
#include "models/json_fields.h"

namespace rattn {

Hardware ParseHardware(const std::string& json_text,
                       const std::string& origin) {
  const auto hardware =
      ParseFields<Hardware>(ParseJsonText(json_text, origin), origin);
  const std::pair<const char*, double> figures[] = {
      {"bf16_flops", hardware.bf16_flops},
      {"fp32_flops", hardware.fp32_flops.value_or(1)},
      {"memory_bandwidth", hardware.memory_bandwidth},
      {"memory_bytes", hardware.memory_bytes}};
  for (const auto& [key, value] : figures) {
    if (!(value > 0)) {
      throw UserError(fmt::format("{}: \"{}\" must be above 0, not {}", origin,
                                  key, value));
    }
  }
  return hardware;
}

Hardware LoadHardware(const std::string& name_or_path) {
  const std::string path = FindConfig("hardware", name_or_path);
  return ParseHardware(ReadTextFile(path), path);
}

std::string ToJson(const Hardware& hardware) {
  return PrintFields(hardware).dump(2) + "\n";
}

}  // namespace rattn
