#include "harness/hardware.h"

#include <fmt/format.h>

#include <utility>
#include <vector>

#include "models/config_files.h"
#include "models/error.h"
#include "models/json_fields.h"

namespace rattn {

Hardware ParseHardware(const std::string& json_text,
                       const std::string& origin) {
  const auto hardware =
      ParseFields<Hardware>(ParseJsonText(json_text, origin), origin);
  std::vector<std::pair<const char*, double>> figures = {
      {"bf16_flops", hardware.bf16_flops},
      {"fp32_flops", hardware.fp32_flops.value_or(1)},
      {"memory_bandwidth", hardware.memory_bandwidth},
      {"memory_bytes", hardware.memory_bytes}};
  if (const auto& gpu = hardware.gpu) {
    figures.insert(figures.end(),
                   {{"gpu.compute_capability", gpu->compute_capability},
                    {"gpu.sms", gpu->sms},
                    {"gpu.clock", gpu->clock},
                    {"gpu.exps_per_clock", gpu->exps_per_clock},
                    {"gpu.registers", gpu->registers},
                    {"gpu.shared_bytes", gpu->shared_bytes},
                    {"gpu.threads", gpu->threads},
                    {"gpu.blocks", gpu->blocks},
                    {"gpu.launch_seconds", gpu->launch_seconds}});
  }
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
