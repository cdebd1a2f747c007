#include "harness/train_product.h"

#include <fmt/format.h>

#include <filesystem>
#include <optional>
#include <vector>

#include "harness/interrupt.h"
#include "harness/kind_fields.h"
#include "harness/process_memory.h"
#include "harness/text_format.h"
#include "harness/train_fields.h"
#include "models/error.h"
#include "models/safetensors.h"

namespace rattn {
namespace {

namespace fs = std::filesystem;

// A killed training repeats at most these steps.
constexpr int64_t kCheckpointEvery = 100;

// Whether `read` can read the file; one that it cannot read is removed, so that
// damage (a full disk, a crash) is repaired by training again.
template <typename Read>
bool IsWhole(const std::string& path, const Read& read) {
  if (!fs::exists(path)) return false;
  try {
    read(path);
    return true;
  } catch (const std::exception&) {
    fs::remove_all(path);
    return false;
  }
}

void ReadResult(const std::string& path) {
  const Json result = ReadJsonFile(path);
  for (const char* key :
       {"loss", "seconds", "tokens_per_s", "parameters", "resumed_from"}) {
    result.at(key).get<double>();
  }
  result.at("loss_curve").get<std::vector<double>>();
}

// The finished product of the folder, if it is whole. Removes what is damaged.
std::optional<TrainedProduct> Load(const std::string& folder) {
  const bool model =
      IsWhole(folder + kCheckpointFile,
              [](const std::string& path) { SafeTensorsFile file(path); });
  const bool result = IsWhole(folder + kResultFile, ReadResult);
  if (!model || !result) return std::nullopt;
  return TrainedProduct{fs::path(folder).filename().string(),
                        folder + kCheckpointFile, /*reused=*/true,
                        ReadJsonFile(folder + kResultFile)};
}

// At least so many bytes: weights, gradients and both moments, and what the
// backward pass keeps of every token.
double TrainingBytes(const TrainingSpec& training, int64_t length) {
  const ModelConfig& m = training.model;
  const auto number = [](int64_t n) { return static_cast<double>(n); };
  const double heads = number(m.query_heads) + 2 * number(m.kv_heads);
  const double layer = 4 * number(m.d_model) + heads * number(m.head_dim) +
                       3 * number(m.ffn_dim);
  const double token =
      number(m.layers) * layer + number(m.d_model) + number(m.vocab_size);
  return sizeof(float) *
         (4 * number(CountParameters(m).total) +
          number(training.options.batch) * number(length) * token);
}

void CheckMemory(const TrainingSpec& training, const Task& task) {
  const double needed = TrainingBytes(training, task.train_length());
  const double available = static_cast<double>(AvailableMemory());
  if (available <= 0 || needed <= available) return;
  throw UserError(fmt::format(
      "training {} with batch {} x {} tokens takes at least {}, {} of memory "
      "are available; lower the batch",
      training.model.name, training.options.batch, task.train_length(),
      FormatBytes(needed), FormatBytes(available)));
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
  if (auto finished = Load(folder)) return *finished;
  CheckMemory(training, task);
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
