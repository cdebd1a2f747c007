// Lines of a RULER data file and of a file of predictions.
#include "fuzz/fuzz.h"
#include "models/scratch_folder.h"
#include "tasks/ruler_text/make_data.h"
#include "tasks/ruler_text/match_score.h"
#include "tasks/ruler_text/summary.h"
#include "tasks/ruler_text/text_sample.h"

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace rattn;
  static const ScratchFolder folder;
  folder.Write("lines.jsonl", InputText(data, size));
  const std::string path = folder.PathOf("lines.jsonl");
  Untrusted([&] {
    for (const RulerTextSample& sample : ReadRulerDataFile(path)) {
      RulerPredictionLine(sample, sample.input);
    }
  });
  Untrusted([&] {
    const auto answers = ReadRulerPredictions(path);
    ScoreRulerTask(answers, RulerTextTasks()[0], RulerMode::kOfficial);
  });
  return 0;
}
