// Questions over documents: SQuAD and HotpotQA in their official files.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace rattn {

struct QaQuestion {
  std::string query;
  std::vector<std::string> answers;  // of all annotators, repeats kept
  std::vector<size_t> gold;          // documents in every official prompt
  std::vector<size_t> related;       // other paragraphs of the article
  // Those of `gold` that the answer needs (HotpotQA's supporting facts; all
  // where the file does not tell).
  std::vector<size_t> needed;
};

struct QaSet {
  std::vector<std::string> documents;  // distinct, sorted by code point
  std::vector<QaQuestion> questions;   // in the order of the file
  std::string sha256;                  // of the file
};

// dev-v2.0.json of SQuAD (unanswerable questions are left out) and
// hotpot_dev_distractor_v1.json. Throw UserErrors that name file and key.
QaSet LoadSquad(const std::string& path);
QaSet LoadHotpot(const std::string& path);

}  // namespace rattn
