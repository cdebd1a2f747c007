// Peak figures of a machine as data: configs/hardware/*.json, of which `rattn
// doctor --peaks --write` adds one for the machine it runs on.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace rattn {

struct Hardware {
  std::string name;                  // as plots print it
  std::string source;                // a datasheet, or how it was measured
  double bf16_flops = 0;             // dense matrix products, FLOP/s
  std::optional<double> fp32_flops;  // without tensor cores, FLOP/s
  double memory_bandwidth = 0;       // B/s
  double memory_bytes = 0;
};

template <typename Visitor>
void VisitFields(Visitor& visit, Hardware& h) {
  visit.Required("name", h.name, "name as plots print it");
  visit.Required("source", h.source, "a datasheet, or how it was measured");
  visit.Required("bf16_flops", h.bf16_flops, "peak of bf16 products, FLOP/s");
  visit.Optional("fp32_flops", h.fp32_flops, "peak of fp32 products, FLOP/s");
  visit.Required("memory_bandwidth", h.memory_bandwidth, "peak, B/s");
  visit.Required("memory_bytes", h.memory_bytes, "size of the memory, B");
}

// Strict, as every config; figures must be above zero. Throws UserError.
Hardware ParseHardware(const std::string& json_text, const std::string& origin);
// By path, or by the name of a file in configs/hardware.
Hardware LoadHardware(const std::string& name_or_path);
std::string ToJson(const Hardware& hardware);

}  // namespace rattn
