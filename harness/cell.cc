#include "harness/cell.h"

#include <fmt/format.h>

#include <array>
#include <cmath>
#include <utility>

#include "harness/hash.h"

namespace rattn {
namespace {

constexpr std::array<std::string_view, 3> kStatusNames = {"done", "skipped",
                                                          "failed"};

Json NumberOrNull(const std::optional<double>& value) {
  return value && std::isfinite(*value) ? Json(*value) : Json();
}

Json BetterJson(Better better) {
  if (better == Better::kNeither) return nullptr;
  return better == Better::kHigher ? "higher" : "lower";
}

Better BetterFromJson(const Json& json) {
  if (json == "higher") return Better::kHigher;
  return json == "lower" ? Better::kLower : Better::kNeither;
}

Json MetricJson(const Metric& metric) {
  Json json = {{"key", metric.key},
               {"value", NumberOrNull(metric.value)},
               {"unit", metric.unit},
               {"better", BetterJson(metric.better)}};
  if (metric.standard_error) {
    json["standard_error"] = NumberOrNull(metric.standard_error);
  }
  if (metric.chance) json["chance"] = NumberOrNull(metric.chance);
  if (metric.n) json["n"] = *metric.n;
  if (!metric.reason.empty()) {
    json["reason"] = metric.reason;
  } else if (json["value"].is_null()) {
    json["reason"] = "the value is not a finite number";
  }
  return json;
}

template <typename T>
std::optional<T> OptionalAt(const Json& json, const char* key) {
  const auto it = json.find(key);
  if (it == json.end() || it->is_null()) return std::nullopt;
  return it->get<T>();
}

Metric MetricFromJson(const Json& json) {
  return {json.at("key"),
          OptionalAt<double>(json, "value"),
          json.value("unit", ""),
          BetterFromJson(json.value("better", Json())),
          OptionalAt<double>(json, "standard_error"),
          OptionalAt<double>(json, "chance"),
          OptionalAt<int64_t>(json, "n"),
          json.value("reason", "")};
}

}  // namespace

Json Cell::Get(const std::string& key) const {
  if (const auto it = axes.find(key); it != axes.end()) return *it;
  if (const auto it = params.find(key); it != params.end()) return *it;
  return nullptr;
}

Cell MakeCell(const std::string& kind, Json axes, Json params) {
  Cell cell{"", kind, std::move(axes), std::move(params), {}};
  cell.id = HashJson({{"schema", kCellSchema},
                      {"kind", cell.kind},
                      {"axes", cell.axes},
                      {"params", cell.params}})
                .substr(0, 16);
  return cell;
}

Json ToJson(const Cell& cell) {
  return {{"id", cell.id},
          {"kind", cell.kind},
          {"axes", cell.axes},
          {"params", cell.params},
          {"needs", cell.needs}};
}

Cell CellFromJson(const Json& json) {
  return {json.at("id"), json.at("kind"), json.at("axes"), json.at("params"),
          json.value("needs", std::vector<std::string>())};
}

std::string Describe(const Cell& cell) {
  std::string text = cell.kind;
  for (const auto& [key, value] : cell.axes.items()) {
    if (value.is_null()) continue;
    text += fmt::format(
        " {}={}", key == "window_keys" ? "W" : key,
        value.is_string() ? value.get<std::string>() : value.dump());
  }
  return text;
}

std::string_view Name(CellStatus status) {
  return kStatusNames[static_cast<size_t>(status)];
}

CellStatus ParseCellStatus(const std::string& name) {
  for (size_t i = 0; i < kStatusNames.size(); ++i) {
    if (kStatusNames[i] == name) return static_cast<CellStatus>(i);
  }
  throw RunError(fmt::format("unknown cell status '{}'", name));
}

CellResult CellResult::Skipped(std::string reason) {
  CellResult result;
  result.status = CellStatus::kSkipped;
  result.reason = std::move(reason);
  return result;
}

CellResult CellResult::Failed(std::string reason) {
  CellResult result = Skipped(std::move(reason));
  result.status = CellStatus::kFailed;
  return result;
}

double MetricValue(const CellResult& result, std::string_view key) {
  for (const Metric& metric : result.metrics) {
    if (metric.key == key) return metric.value.value_or(0);
  }
  return 0;
}

Json ToJson(const CellResult& result) {
  Json metrics = Json::array();
  for (const Metric& metric : result.metrics) {
    metrics.push_back(MetricJson(metric));
  }
  return {{"status", Name(result.status)},
          {"reason", result.reason.empty() ? Json() : Json(result.reason)},
          {"check", result.check},
          {"metrics", metrics},
          {"stats", result.stats},
          {"detail", result.detail}};
}

CellResult CellResultFromJson(const Json& json) {
  CellResult result;
  result.status = ParseCellStatus(json.at("status"));
  result.reason = OptionalAt<std::string>(json, "reason").value_or("");
  result.check = json.value("check", Json());
  for (const Json& metric : json.value("metrics", Json::array())) {
    result.metrics.push_back(MetricFromJson(metric));
  }
  result.stats = json.value("stats", Json());
  result.detail = json.value("detail", Json::object());
  return result;
}

Json CellFileJson(const Cell& cell, const CellResult& result) {
  Json json = {{"schema", kCellSchema}};
  json.update(ToJson(cell));
  json.update(ToJson(result));
  return json;
}

}  // namespace rattn
