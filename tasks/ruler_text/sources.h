// The data behind RULER's prompts: found by their usual names in a folder,
// read when first needed, hashed for the record.
#pragma once

#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "models/json_fields.h"
#include "tasks/ruler_text/haystack.h"
#include "tasks/ruler_text/qa_set.h"
#include "tasks/ruler_text/templates.h"
#include "tasks/ruler_text/words.h"

namespace rattn {

struct RulerSourcePaths {
  std::string data;       // folder
  std::string templates;  // empty: ruler/templates.json of the folder
  std::string haystack;   // empty: the folder's essays
  std::string sentences;  // empty: the folder's table, where it fits
};

// Members throw UserErrors that name the files they looked for.
class RulerSources {
 public:
  explicit RulerSources(RulerSourcePaths paths) : paths_(std::move(paths)) {}

  const RulerTemplates& templates();
  const Haystack& haystack();
  const WordPairs& pairs();                   // adjective-noun
  const std::vector<std::string>& words();    // all three lists, sorted
  const std::vector<std::string>& english();  // for very long word lists
  // Reads them if they are there; needed only at great lengths.
  void find_english();
  const QaSet& squad();
  const QaSet& hotpot();
  // SHA-256 of everything used so far, by name.
  const Json& hashes() const { return hashes_; }

 private:
  std::string Find(const std::string& what,
                   std::initializer_list<const char*> names) const;
  std::vector<std::string> WordList(const char* name);

  RulerSourcePaths paths_;
  Json hashes_ = Json::object();
  std::optional<RulerTemplates> templates_;
  std::optional<Haystack> haystack_;
  std::optional<WordPairs> pairs_;
  std::vector<std::string> words_, english_;
  std::optional<QaSet> squad_, hotpot_;
};

}  // namespace rattn
