#include "harness/model_verb_flags.h"

#include <fmt/format.h>

#include <algorithm>

#include "harness/device_flag.h"
#include "models/error.h"

namespace rattn {
namespace {

std::string FlagName(const std::string& field) {
  if (field == "window_keys") return "--window";
  std::string name = "--" + field;
  std::replace(name.begin(), name.end(), '_', '-');
  return name;
}

std::string DefaultText(const Field& field) {
  if (field.fallback.is_null()) return "";
  return fmt::format(" (default: {})", ValueText(field.fallback));
}

}  // namespace

FieldFlags::FieldFlags(CLI::App& app, const CellKind& kind,
                       const std::vector<std::string>& without) {
  for (const Field& field : kind.fields()) {
    if (field.type == FieldType::kObject ||
        std::find(without.begin(), without.end(), field.key) != without.end()) {
      continue;
    }
    flags_.push_back(std::make_unique<Flag>(Flag{field.key, ""}));
    app.add_option(FlagName(field.key), flags_.back()->text,
                   field.help + DefaultText(field));
  }
  app.add_option("--device", device_, kDeviceHelp);
  app.add_option("--param", params_,
                 "parameter of the task: KEY=VALUE; repeatable")
      ->allow_extra_args(false);
  app.add_option("--text", text_file_,
                 "text file to model, byte by byte (implies --task text)");
}

Json FieldFlags::Values() const {
  Json values = Json::object();
  for (const auto& flag : flags_) {
    if (!flag->text.empty()) values[flag->field] = ParseValue(flag->text);
  }
  const std::string backend = BackendOn(
      device_, values.contains("backend") ? ValueText(values["backend"]) : "");
  if (!backend.empty()) values["backend"] = backend;
  Json params = Json::object();
  for (const std::string& text : params_) {
    const size_t equals = text.find('=');
    if (equals == std::string::npos || equals == 0) {
      throw UserError(
          fmt::format("--param '{}': write --param KEY=VALUE", text));
    }
    params[text.substr(0, equals)] = ParseValue(text.substr(equals + 1));
  }
  if (!text_file_.empty()) {
    if (!values.contains("task")) values["task"] = "text";
    params["train_file"] = text_file_;
  }
  if (!params.empty()) values["task_params"] = params;
  return values;
}

}  // namespace rattn
