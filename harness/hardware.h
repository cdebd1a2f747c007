// Peak figures of a machine as data: configs/hardware/*.json, of which `rattn
// doctor --peaks --write` adds one for the machine it runs on.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace rattn {

// What a GPU's multiprocessors (SMs) hold and do.
struct GpuLimits {
  std::string source;                  // of these figures
  std::vector<std::string> devices{};  // names that its driver gives it
  int compute_capability = 0;          // 90 for 9.0
  int sms = 0;
  double clock = 0;             // of an SM at the peaks, Hz
  double exps_per_clock = 0;    // of an SM
  int64_t registers = 0;        // of an SM, 32 bits each
  int64_t shared_bytes = 0;     // of an SM
  int threads = 0, blocks = 0;  // of an SM, most
  double launch_seconds = 0;    // between launches of a stream
  bool operator==(const GpuLimits&) const = default;
};

struct Hardware {
  std::string name;                  // as plots print it
  std::string source;                // a datasheet, or how it was measured
  double bf16_flops = 0;             // dense matrix products, FLOP/s
  std::optional<double> fp32_flops;  // without tensor cores, FLOP/s
  double memory_bandwidth = 0;       // B/s
  double memory_bytes = 0;
  std::optional<GpuLimits> gpu{};
};

template <typename Visitor>
void VisitFields(Visitor& visit, GpuLimits& g) {
  visit.Required("source", g.source, "of these figures");
  visit.Required("devices", g.devices, "names that its driver gives it");
  visit.Required("compute_capability", g.compute_capability, "90 for 9.0");
  visit.Required("sms", g.sms, "multiprocessors");
  visit.Required("clock", g.clock, "of a multiprocessor, Hz");
  visit.Required("exps_per_clock", g.exps_per_clock, "of a multiprocessor");
  visit.Required("registers", g.registers, "of a multiprocessor");
  visit.Required("shared_bytes", g.shared_bytes, "of a multiprocessor, B");
  visit.Required("threads", g.threads, "most of a multiprocessor");
  visit.Required("blocks", g.blocks, "most of a multiprocessor");
  visit.Required("launch_seconds", g.launch_seconds,
                 "between launches of a stream, s");
}

template <typename Visitor>
void VisitFields(Visitor& visit, Hardware& h) {
  visit.Required("name", h.name, "name as plots print it");
  visit.Required("source", h.source, "a datasheet, or how it was measured");
  visit.Required("bf16_flops", h.bf16_flops, "peak of bf16 products, FLOP/s");
  visit.Optional("fp32_flops", h.fp32_flops, "peak of fp32 products, FLOP/s");
  visit.Required("memory_bandwidth", h.memory_bandwidth, "peak, B/s");
  visit.Required("memory_bytes", h.memory_bytes, "size of the memory, B");
  visit.Added("gpu", h.gpu, std::optional<GpuLimits>(),
              "multiprocessors of an NVIDIA GPU");
}

// Strict, as every config; figures must be above zero. Throws UserError.
Hardware ParseHardware(const std::string& json_text, const std::string& origin);
// By path, or by the name of a file in configs/hardware.
Hardware LoadHardware(const std::string& name_or_path);
std::string ToJson(const Hardware& hardware);

}  // namespace rattn
