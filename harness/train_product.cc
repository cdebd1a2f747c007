#include "harness/train_product.h"

#include <fmt/format.h>

#include <filesystem>

#include "harness/interrupt.h"
#include "harness/kind_fields.h"
#include "harness/train_fields.h"
#include "models/error.h"

namespace rattn {
namespace {

namespace fs = std::filesystem;

// A killed training repeats at most these steps.
constexpr int64_t kCheckpointEvery = 100;

TrainedProduct Load(const std::string& folder) {
  return {fs::path(folder).filename().string(), folder + kCheckpointFile,
          /*reused=*/true, ReadJsonFile(folder + kResultFile)};
}

bool IsFinished(const std::string& folder) {
  return fs::exists(folder + kResultFile) &&
         fs::exists(folder + kCheckpointFile);
}

Json ResultJson(const TrainResult& trained) {
  return {{"loss", trained.loss},
          {"seconds", trained.seconds},
          {"tokens_per_s", trained.tokens_per_s},
          {"parameters", trained.parameters},
          {"resumed_from", trained.resumed_from},
          {"loss_curve", trained.loss_curve}};
}

}  // namespace

TrainingSpec TrainingOf(const Json& values) {
  TrainingSpec training{ModelOf(values, "model"), TrainOptionsOf(values),
                        ExecutionOf(values)};
  training.options.checkpoint_every = kCheckpointEvery;
  return training;
}

std::vector<std::string> TaskNames() {
  std::vector<std::string> names;
  for (const TaskEntry& task : TaskList()) names.emplace_back(task.name);
  return names;
}

TrainedProduct TrainProduct(const TrainingSpec& training, const Task& task,
                            const CellContext& context) {
  const std::string folder = ProductFolder(context.products, training, task);
  MakeWritableFolder(folder);
  // Another sweep may be training the same model: wait for its result.
  const FileLock lock = FileLock::Wait(folder + "/lock");
  if (IsFinished(folder)) return Load(folder);
  RemoveStaleTemporaries(folder);
  WriteFileAtomically(folder + "/key.json",
                      ProductKey(training, task).dump(2) + "\n");
  bool stopped = false;
  const TrainResult trained = GetModelRuntime().Train(
      training.model, training.options, training.execution, task,
      folder + kCheckpointFile, [&](const TrainProgress& progress) {
        const std::string what =
            fmt::format("loss {:.3f}, {:.0f} tokens/s", progress.loss,
                        progress.tokens_per_s);
        stopped = Interrupted() ||
                  (context.progress != nullptr &&
                   !context.progress(progress.step, progress.steps, what));
        return !stopped;
      });
  if (stopped) throw RunError("stopped; the checkpoint is kept");
  TrainedProduct product{fs::path(folder).filename().string(),
                         folder + kCheckpointFile, /*reused=*/false,
                         ResultJson(trained)};
  WriteFileAtomically(folder + kResultFile, product.result.dump() + "\n");
  return product;
}

}  // namespace rattn
