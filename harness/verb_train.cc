// rattn train: one train cell, in this process. The model is kept in the cache
// of trained models, where sweeps and `rattn eval` find it.
#include <fmt/format.h>

#include <filesystem>
#include <memory>

#include "harness/file_io.h"
#include "harness/interrupt.h"
#include "harness/kinds.h"
#include "harness/model_verb_flags.h"
#include "harness/score_table.h"
#include "harness/train_fields.h"
#include "harness/train_product.h"
#include "harness/verb_functions.h"
#include "models/error.h"

namespace rattn {
namespace {

struct TrainVerbOptions {
  std::unique_ptr<FieldFlags> fields;
  std::string checkpoint;
  bool json = false;
};

int RunTrain(const TrainVerbOptions& options) {
  CatchInterrupts();
  CheckTargetFile("--checkpoint", options.checkpoint);
  const Cell cell =
      BuildCell(TrainCellKind(), options.fields->Values(), "train");
  if (!options.json) fmt::print("{}\n", Describe(cell));
  std::fflush(stdout);
  LiveLine line;
  const CellContext context{
      ProductsFolder(),
      [&](int64_t done, int64_t total, const std::string& what) {
        line.Show(fmt::format("step {}/{}  {}", done, total, what));
        return true;
      }};
  const CellResult result = TrainCellKind().run(cell, context);
  line.Clear();
  const std::string kept = context.products + "/" +
                           result.detail["product"].get<std::string>() +
                           kCheckpointFile;
  if (!options.checkpoint.empty()) {
    WriteFileAtomically(options.checkpoint,
                        ReadTextFile(kept, std::filesystem::file_size(kept)));
  }
  if (options.json) {
    fmt::print("{}\n", CellFileJson(cell, result).dump(2));
    return kExitDone;
  }
  PrintMetrics(result.metrics);
  fmt::print("checkpoint {}{}\n",
             options.checkpoint.empty() ? kept : options.checkpoint,
             result.detail["reused"] == true ? " (was trained before)" : "");
  return kExitDone;
}

}  // namespace

void AddTrain(CLI::App& app, Action* action) {
  auto options = std::make_shared<TrainVerbOptions>();
  options->fields = std::make_unique<FieldFlags>(app, TrainCellKind(),
                                                 std::vector<std::string>());
  app.add_option("--checkpoint", options->checkpoint,
                 "also write the trained model to this safetensors file");
  app.add_flag("--json", options->json, "machine-readable output");
  *action = [options] { return RunTrain(*options); };
}

}  // namespace rattn
