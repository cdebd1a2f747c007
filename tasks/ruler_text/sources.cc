#include "tasks/ruler_text/sources.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <filesystem>

#include "models/error.h"
#include "models/sha256.h"

namespace rattn {
namespace {

namespace fs = std::filesystem;

constexpr std::initializer_list<const char*> kTables = {
    "ruler/sentence_spans.json", "sentence_spans.json"};

}  // namespace

std::string RulerSources::Find(const std::string& what,
                               std::initializer_list<const char*> names) const {
  for (const char* name : names) {
    const fs::path path = fs::path(paths_.data) / name;
    if (std::error_code none; fs::is_regular_file(path, none)) {
      return path.string();
    }
  }
  throw UserError(fmt::format("no {} in the data folder '{}': expected {}",
                              what, paths_.data, fmt::join(names, " or ")));
}

const RulerTemplates& RulerSources::templates() {
  if (!templates_) {
    templates_ = LoadRulerTemplates(
        !paths_.templates.empty()
            ? paths_.templates
            : Find("templates (--templates names a file)",
                   {"ruler/templates.json", "templates.json"}));
    hashes_["templates"] = templates_->sha256;
  }
  return *templates_;
}

const Haystack& RulerSources::haystack() {
  if (haystack_) return *haystack_;
  const std::string path = !paths_.haystack.empty()
                               ? paths_.haystack
                               : Find("haystack text (--haystack names a file)",
                                      {"PaulGrahamEssays.json",
                                       "haystack/essays.txt", "essays.txt"});
  if (!paths_.sentences.empty()) {
    haystack_ = Haystack::Load(path, paths_.sentences);
  } else {
    try {
      haystack_ = Haystack::Load(path, Find("table of sentences", kTables));
    } catch (const UserError&) {
      // No table in the folder, or one of another text: the rule cuts.
      haystack_ = Haystack::Load(path, "");
    }
  }
  hashes_["haystack"] = haystack_->sha256();
  hashes_["sentences"] = haystack_->sentence_source();
  return *haystack_;
}

std::vector<std::string> RulerSources::WordList(const char* name) {
  const std::string nested = fmt::format("wonderwords/{}.txt", name);
  const std::string flat = fmt::format("{}.txt", name);
  const std::string path = Find("word list", {nested.c_str(), flat.c_str()});
  hashes_[name] = Sha256Hex(ReadTextFile(path));
  return ReadWordList(path);
}

const WordPairs& RulerSources::pairs() {
  if (!pairs_) pairs_.emplace(WordList("adjectivelist"), WordList("nounlist"));
  return *pairs_;
}

const std::vector<std::string>& RulerSources::words() {
  if (words_.empty()) {
    words_ = SortedUnion({WordList("nounlist"), WordList("adjectivelist"),
                          WordList("verblist")});
  }
  return words_;
}

const std::vector<std::string>& RulerSources::english() {
  if (english_.empty()) {
    const std::string path =
        Find("word list for this length of cwe", {"english_words.json"});
    hashes_["english_words"] = Sha256Hex(ReadTextFile(path));
    english_ = ReadEnglishWords(path);
  }
  return english_;
}

void RulerSources::find_english() {
  std::error_code none;
  if (fs::exists(fs::path(paths_.data) / "english_words.json", none)) english();
}

const QaSet& RulerSources::squad() {
  if (!squad_) {
    squad_ = LoadSquad(Find(
        "SQuAD 2.0", {"squad.json", "dev-v2.0.json", "squad_v2/dev-v2.0.json",
                      "squad_v2/dev-v2.0_cs224n_subset.json"}));
    hashes_["squad"] = squad_->sha256;
  }
  return *squad_;
}

const QaSet& RulerSources::hotpot() {
  if (!hotpot_) {
    hotpot_ = LoadHotpot(
        Find("HotpotQA", {"hotpotqa.json", "hotpot_dev_distractor_v1.json",
                          "hotpotqa/hotpot_dev_distractor_v1.json",
                          "hotpotqa/hotpot_dev_distractor_v1_subset.json"}));
    hashes_["hotpotqa"] = hotpot_->sha256;
  }
  return *hotpot_;
}

}  // namespace rattn
