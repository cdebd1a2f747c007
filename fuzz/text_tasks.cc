// A task \f the files that it reads; the last one stands for those left out.
#include <algorithm>

#include "fuzz/fuzz.h"
#include "models/scratch_folder.h"
#include "tasks/files/fake_text_model.h"
#include "tasks/files/run_text_task.h"
#include "tasks/files/text_task_list.h"

namespace {

using namespace rattn;

std::vector<std::string> FilesOf(std::string_view task) {
  for (const TextTaskEntry& entry : TextTaskList()) {
    if (entry.name == task) return {entry.files.begin(), entry.files.end()};
  }
  if (task == "mmlu_anatomy") return {"mmlu/test.jsonl", "mmlu/dev.jsonl"};
  if (task == "mmlu_original_virology") {
    return {"mmlu/data/test/virology_test.csv",
            "mmlu/data/dev/virology_dev.csv"};
  }
  return {};
}

void Run(const TextTask& task) {
  const FakeScoringModel model([](const ScoreRequest&) { return -1.0; },
                               "So #### 1,234. The answer is 5.");
  TextEvalOptions options;
  options.shots = std::min<int64_t>(1, task.default_shots);
  options.limit = 8.0;
  options.bootstrap_draws = 10;
  options.log_samples = true;
  RunTextTask(task, ByteTokenizer(true), model, options);
}

}  // namespace

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const ScratchFolder folder;
  const auto sections = Sections(InputText(data, size));
  const auto files = FilesOf(sections[0]);
  if (files.empty() || sections.size() < 2) return -1;
  for (size_t i = 0; i < files.size(); ++i) {
    folder.Write(files[i], sections[std::min(i + 1, sections.size() - 1)]);
  }
  Untrusted([&] {
    DataFolder data_folder(folder.path());
    const TextSuite suite =
        LoadTextSuite({std::string(sections[0])}, &data_folder);
    for (const TextTask& task : suite.tasks) Run(task);
  });
  return 0;
}
