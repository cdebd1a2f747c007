// A journal of answers that goes on.
#include "harness/answer_journal.h"

#include "fuzz/fuzz.h"
#include "models/scratch_folder.h"

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace rattn;
  static const ScratchFolder folder;
  folder.Write("journal.jsonl", InputText(data, size));
  const std::string path = folder.PathOf("journal.jsonl");
  const std::string key(64, 'a');
  Untrusted([&] {
    AnswerJournal(path).Add(key, {-1.5, true, ""});
    if (!AnswerJournal(path).Find(key, {})) std::abort();
  });
  return 0;
}
