#include "harness/mixer_fields.h"

#include <fmt/format.h>

#include "kernels/catalog.h"
#include "kernels/nearest_name.h"
#include "models/error.h"

namespace rattn {

const Variant& GetVariant(const std::string& name, const std::string& origin) {
  if (const Variant* variant = FindVariant(name)) return *variant;
  std::vector<std::string> known;
  for (const Variant& variant : Catalog()) known.emplace_back(variant.name);
  throw UserError(fmt::format("{}: unknown variant '{}'{}", origin, name,
                              NearestHint(name, known)));
}

int64_t IntegerOr(const Json& value, int64_t absent) {
  return value.is_null() ? absent : value.get<int64_t>();
}

void NormalizeMixer(Json& values, const std::string& origin) {
  const Variant& variant = GetVariant(values["variant"], origin);
  if (!variant.takes_window) values["window_keys"] = nullptr;
  if (variant.spec.local.kind != LocalKind::kWindowSinks) {
    values["sinks"] = nullptr;
  } else if (values["sinks"].is_null()) {
    values["sinks"] = variant.spec.local.sinks;
  }
  MixerOf(values, origin);
}

MixerSpec MixerOf(const Json& values, const std::string& origin) {
  const Variant& variant = GetVariant(values["variant"], origin);
  MixerSpec spec;
  std::string reason;
  if (!MakeSpec(
          variant,
          {IntegerOr(values["window_keys"], 0), IntegerOr(values["sinks"], -1)},
          &spec, &reason)) {
    throw UserError(fmt::format("{}: {}", origin, reason));
  }
  return spec;
}

}  // namespace rattn
