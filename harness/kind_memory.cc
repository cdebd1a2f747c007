// Memory cells: cache bytes of a model, by formula and really allocated.
#include <array>

#include "harness/kind_fields.h"
#include "harness/kinds.h"
#include "harness/memory.h"
#include "harness/train_fields.h"

namespace rattn {
namespace {

struct MeasureName {
  const char* name;
  MeasureMemory measure;
};
constexpr std::array kMeasures = {MeasureName{"none", MeasureMemory::kNone},
                                  MeasureName{"layer", MeasureMemory::kLayer},
                                  MeasureName{"all", MeasureMemory::kAll}};

const Fields& MemoryFields() {
  using enum FieldType;
  static const Fields fields = Join({
      ModelFields(),
      {{"context", kCount, 4096, true, false, "tokens cached per sequence"},
       {"batch", kCount, 1, true, false, "sequences"},
       {"dtype", kText, "bf16", true, false, "of keys and values"},
       {"measure", kText, "layer", false, false,
        "none, layer (one of each kind is allocated) or all"}},
  });
  return fields;
}

void Normalize(Json& values, const std::string& origin) {
  NormalizeModel(values, origin);
  CheckNamed(values, "dtype", {"fp32", "bf16"}, origin);
  std::vector<std::string> names;
  for (const MeasureName& m : kMeasures) names.emplace_back(m.name);
  CheckNamed(values, "measure", names, origin);
}

bool Alone(const Cell& cell) { return cell.params.at("measure") != "none"; }

Metric Bytes(const char* key, const std::optional<int64_t>& bytes,
             const std::string& reason) {
  Metric metric{key, std::nullopt, "B", Better::kLower};
  if (bytes) {
    metric.value = static_cast<double>(*bytes);
  } else {
    metric.reason = reason;
  }
  return metric;
}

CellResult Run(const Cell& cell, const CellContext&) {
  const Json values = ValuesOf(cell);
  MemoryOptions options;
  options.context = values["context"];
  options.batch = values["batch"];
  options.dtype = ParseDtype(values["dtype"]);
  for (const MeasureName& m : kMeasures) {
    if (values["measure"] == m.name) options.measure = m.measure;
  }
  const ModelMemory m = ComputeMemory(ModelOf(values, "model"), options);
  CellResult result;
  result.metrics = {
      Bytes("kv_bytes", m.kv_bytes, ""),
      Bytes("state_bytes", m.state_bytes, ""),
      Bytes("total_bytes", m.kv_bytes + m.state_bytes, ""),
      Bytes("measured_kv_bytes", m.measured_kv_bytes, m.reason),
      Bytes("measured_state_bytes", m.measured_state_bytes, m.reason)};
  result.detail = {
      {"full_kv_bytes", m.full_kv_bytes},
      {"state_bytes_per_query_head", m.state_bytes_per_query_head}};
  return result;
}

}  // namespace

const CellKind& MemoryCellKind() {
  static const CellKind kind = {
      "memory",     "cache bytes of a model, by formula and allocated",
      MemoryFields, Normalize,
      Alone,        nullptr,
      Run};
  return kind;
}

}  // namespace rattn
