#include "harness/run_child.h"

#include <fmt/format.h>
#include <stdlib.h>
#include <unistd.h>

#include <filesystem>

#include "harness/cell_job.h"
#include "harness/interrupt.h"
#include "models/error.h"

namespace rattn {
namespace {

// A private folder for the child's output that goes with its owner.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string name =
        (std::filesystem::temp_directory_path() / "rattn-XXXXXX").string();
    if (mkdtemp(name.data()) == nullptr) {
      throw RunError(fmt::format("cannot make a folder like '{}'", name));
    }
    path_ = name;
  }
  ~TemporaryFolder() {
    std::error_code error;
    std::filesystem::remove_all(path_, error);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

}  // namespace

std::vector<CellResult> RunInChild(std::span<const Cell> cells,
                                   const std::string& products,
                                   double time_limit) {
  const TemporaryFolder folder;
  const std::string output = folder.path() + "/result.json";
  Child child(JobJson(cells), output, products, time_limit);
  const ChildOutcome outcome = child.Finish();
  if (Interrupted()) throw RunError("interrupted");
  return TakeResults(cells, output, outcome, time_limit);
}

}  // namespace rattn
