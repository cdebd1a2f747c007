// run.json \f one file of a cell after the other: the report of a run, and the
// run beside itself.
#include <filesystem>

#include "fuzz/fuzz.h"
#include "harness/compare.h"
#include "harness/report.h"
#include "models/scratch_folder.h"

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace rattn;
  static const ScratchFolder folder;
  std::filesystem::remove_all(folder.PathOf("cells"));
  const auto sections = Sections(InputText(data, size));
  folder.Write("run.json", sections[0]);
  for (size_t i = 1; i < sections.size(); ++i) {
    folder.Write("cells/" + std::to_string(i) + ".json", sections[i]);
  }
  Untrusted([] {
    const RunData run = LoadRun(folder.path());
    CellsDigest(run);
    MakeReport(run);
  });
  Untrusted([] {
    const Comparison comparison = Compare({folder.path(), folder.path()}, {});
    ToJson(comparison);
    ToDocument(comparison);
  });
  return 0;
}
