// One of RULER's sources \f its file \f a second one where it has two.
#include <span>

#include "fuzz/fuzz.h"
#include "models/scratch_folder.h"
#include "tasks/ruler_text/make_data.h"

namespace {

using namespace rattn;

struct Source {
  std::string_view name;
  std::vector<const char*> files;
  void (*read)(RulerSources* sources);
};

void ReadTemplates(RulerSources* sources) {
  const RulerTemplates& templates = sources->templates();
  const TemplateValues values = {{"type_needle_v", "numbers"},
                                 {"context", "Some words."},
                                 {"query", "a key"},
                                 {"key", "a key"},
                                 {"value", "12"},
                                 {"num_v", "3"}};
  for (int i = 0; i <= static_cast<int>(RulerFamily::kQa); ++i) {
    const RulerTemplate& entry = templates.Of(static_cast<RulerFamily>(i));
    Singular(FormatTemplate(entry.text, values));
    Singular(FormatTemplate(entry.prefix, values));
  }
}

void ReadHaystack(RulerSources* sources) {
  const Haystack& haystack = sources->haystack();
  haystack.Cut(haystack.words() - 1, 100);
  haystack.SentenceWord(haystack.sentences() - 1);
}

void ReadPairs(RulerSources* sources) {
  const WordPairs& pairs = sources->pairs();
  if (pairs.size() > 0) pairs.at(pairs.size() - 1);
}

const std::vector<Source>& AllSources() {
  static const std::vector<Source> sources = {
      {"templates", {"templates.json"}, ReadTemplates},
      {"haystack",
       {"PaulGrahamEssays.json", "sentence_spans.json"},
       ReadHaystack},
      {"pairs", {"adjectivelist.txt", "nounlist.txt"}, ReadPairs},
      {"english",
       {"english_words.json"},
       [](RulerSources* s) { s->english(); }},
      {"squad", {"squad.json"}, [](RulerSources* s) { s->squad(); }},
      {"hotpot", {"hotpotqa.json"}, [](RulerSources* s) { s->hotpot(); }},
  };
  return sources;
}

}  // namespace

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const ScratchFolder folder;
  auto sections = Sections(InputText(data, size));
  sections.resize(3, "");
  for (const Source& source : AllSources()) {
    if (source.name != sections[0]) continue;
    for (size_t i = 0; i < source.files.size(); ++i) {
      folder.Write(source.files[i], sections[i + 1]);
    }
    Untrusted([&] {
      RulerSourcePaths paths;
      paths.data = folder.path();
      RulerSources sources(paths);
      source.read(&sources);
    });
    return 0;
  }
  return -1;
}
