#include "harness/checkpoint_cell.h"

#include <fmt/format.h>

#include <algorithm>

#include "harness/kind_fields.h"
#include "harness/kinds.h"
#include "harness/train_fields.h"
#include "harness/train_product.h"
#include "models/error.h"
#include "models/safetensors.h"

namespace rattn {
namespace {

// Fields that say what to score and how to run it; all others describe the
// training, which a checkpoint brings.
constexpr const char* kFree[] = {"task", "task_params", "dtype", "backend",
                                 "threads"};
// Options that a checkpoint names as the fields of a cell do.
constexpr const char* kTraining[] = {"steps",  "batch", "lr",    "lr_end",
                                     "warmup", "beta1", "beta2", "weight_decay",
                                     "clip",   "seed"};

struct Checkpoint {
  ModelConfig config;
  Json training;
  std::string task;  // that it was trained on
};

Checkpoint Read(const std::string& path) {
  const SafeTensorsFile file(path);
  const auto metadata = [&](const char* key) {
    const auto at = file.metadata().find(key);
    if (at == file.metadata().end()) {
      throw UserError(fmt::format(
          "{} is no checkpoint: its metadata have no \"{}\"", path, key));
    }
    return at->second;
  };
  Checkpoint checkpoint{ParseModelConfig(metadata("config"), path),
                        ParseJsonText(metadata("training"), path), ""};
  const std::string data = metadata("data");
  checkpoint.task = data.substr(0, data.rfind('-'));
  if (!checkpoint.training.is_object()) {
    throw UserError(path + ": \"training\" is no object");
  }
  return checkpoint;
}

void RefuseTrainFlags(const Json& given) {
  for (const Field& field : TrainFields()) {
    const bool free = std::find(std::begin(kFree), std::end(kFree),
                                field.key) != std::end(kFree);
    if (free || !given.contains(field.key)) continue;
    throw UserError(fmt::format(
        "{} cannot be given with --checkpoint, which brings its own model "
        "and training",
        field.key));
  }
  for (const char* key : {"train_task", "train_task_params"}) {
    if (given.contains(key)) {
      throw UserError(fmt::format("{} cannot be given with --checkpoint", key));
    }
  }
}

void CheckVocabulary(const Cell& cell, const Checkpoint& checkpoint) {
  const Json values = ValuesOf(cell);
  const int64_t asked =
      TaskOf(values["task"], values["task_params"], values)->vocab_size();
  const int64_t known = checkpoint.config.vocab_size;
  // A larger vocabulary is no sign of another language on the same task.
  const bool fits =
      values["task"] == checkpoint.task ? asked <= known : asked == known;
  if (fits) return;
  throw UserError(fmt::format(
      "the checkpoint was trained on {} with {} tokens, task {} has {}",
      checkpoint.task, known, values["task"].get<std::string>(), asked));
}

}  // namespace

Cell CheckpointCell(const std::string& path, const Json& given) {
  RefuseTrainFlags(given);
  const Checkpoint checkpoint = Read(path);
  Json values = given;
  for (const char* key : kTraining) {
    if (checkpoint.training.contains(key)) {
      values[key] = checkpoint.training[key];
    }
  }
  if (!values.contains("task")) values["task"] = checkpoint.task;
  // The model's own axes are set below: its config need not be a file here.
  values["model"] = "tiny-recall";
  const Cell built = BuildCell(EvalCellKind(), values, "eval");
  Json axes = built.axes, params = built.params;
  const MixerConfig& local = checkpoint.config.local;
  Json model = {
      {"pattern", nullptr},
      {"variant", local.variant},
      {"window_keys", local.window_keys > 0 ? Json(local.window_keys) : Json()},
      {"sinks", local.sinks >= 0 ? Json(local.sinks) : Json()}};
  DescribeModel(checkpoint.config, model, path);
  for (const auto& [key, value] : model.items()) {
    (axes.contains(key) ? axes : params)[key] = value;
  }
  axes["model"] = checkpoint.config.name;
  const Cell cell = MakeCell(built.kind, axes, params);
  CheckVocabulary(cell, checkpoint);
  return cell;
}

}  // namespace rattn
