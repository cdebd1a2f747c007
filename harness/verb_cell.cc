// rattn cell: runs the cells of a job on standard input. Started by sweep and
// bench, not by people.
#include <iostream>
#include <iterator>
#include <memory>

#include "harness/cell_job.h"
#include "harness/file_io.h"
#include "harness/interrupt.h"
#include "harness/verb_functions.h"

namespace rattn {
namespace {

struct CellOptions {
  std::string out, products;
};

int RunCell(const CellOptions& options) {
  CatchInterrupts();
  const std::string text{std::istreambuf_iterator<char>(std::cin), {}};
  const Json job = ParseJsonText(text, "job");
  WriteFileAtomically(options.out, RunJob(job, options.products).dump());
  // An interrupted cell has no result, whatever it returned.
  return Interrupted() ? kExitFailed : kExitDone;
}

}  // namespace

void AddCell(CLI::App& app, Action* action) {
  auto options = std::make_shared<CellOptions>();
  app.add_option("--out", options->out, "file for the results")->required();
  app.add_option("--products", options->products, "folder of trained models")
      ->required();
  *action = [options] { return RunCell(*options); };
}

}  // namespace rattn
