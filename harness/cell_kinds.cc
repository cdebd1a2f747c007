#include "harness/cell_kinds.h"

#include <fmt/format.h>

#include <array>

#include "harness/kinds.h"
#include "kernels/nearest_name.h"
#include "models/error.h"

namespace rattn {

std::span<const CellKind> CellKinds() {
  static const std::array kinds = {
      KernelCellKind(),         MemoryCellKind(), RooflineCellKind(),
      TrainCellKind(),          EvalCellKind(),   CheckpointEvalCellKind(),
      CheckpointSpeedCellKind()};
  return kinds;
}

std::vector<std::string> CellKindNames() {
  std::vector<std::string> names;
  for (const CellKind& kind : CellKinds()) names.emplace_back(kind.name);
  return names;
}

const CellKind& FindCellKind(std::string_view name, const std::string& origin) {
  for (const CellKind& kind : CellKinds()) {
    if (kind.name == name) return kind;
  }
  throw UserError(fmt::format("{}: unknown kind '{}'{}", origin, name,
                              NearestHint(name, CellKindNames())));
}

Cell BuildCell(const CellKind& kind, const Json& values,
               const std::string& origin) {
  Json complete = CompleteFields(kind.fields(), values, origin);
  if (kind.normalize != nullptr) kind.normalize(complete, origin);
  Json axes = Json::object(), params = Json::object();
  for (const Field& field : kind.fields()) {
    (field.axis ? axes : params)[field.key] = complete.at(field.key);
  }
  // A model whose figures changed under its name is another model.
  if (complete.contains("model_hash")) {
    params["model_hash"] = complete["model_hash"];
  }
  return MakeCell(std::string(kind.name), std::move(axes), std::move(params));
}

}  // namespace rattn
