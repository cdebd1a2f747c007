#include "tasks/ruler_text/qa_set.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <unordered_map>
#include <utility>

#include "models/error.h"
#include "models/json_fields.h"
#include "models/sha256.h"

namespace rattn {
namespace {

// Members of a data file, or a UserError that names them.
class Reader {
 public:
  explicit Reader(std::string path) : path_(std::move(path)) {}

  const Json& List(const Json& value) const {
    if (!value.is_array()) Fail("a list", value);
    return value;
  }
  const Json& Get(const Json& object, const char* key) const {
    if (!object.is_object() || !object.contains(key)) {
      throw UserError(fmt::format("{}: key '{}' is missing", path_, key));
    }
    return object[key];
  }
  const Json& List(const Json& object, const char* key) const {
    return List(Get(object, key));
  }
  std::string Text(const Json& value) const {
    if (!value.is_string()) Fail("text", value);
    return value.get<std::string>();
  }
  std::string Text(const Json& object, const char* key) const {
    return Text(Get(object, key));
  }
  bool Flag(const Json& object, const char* key) const {
    const Json& value = Get(object, key);
    if (!value.is_boolean()) Fail("true or false", value);
    return value.get<bool>();
  }

 private:
  [[noreturn]] void Fail(const char* expected, const Json& value) const {
    throw UserError(
        fmt::format("{}: expected {}, found {}", path_, expected,
                    value.dump(-1, ' ', false, Json::error_handler_t::replace)
                        .substr(0, 60)));
  }
  std::string path_;
};

class Documents {
 public:
  explicit Documents(std::vector<std::string> texts)
      : texts_(std::move(texts)) {
    std::sort(texts_.begin(), texts_.end());
    texts_.erase(std::unique(texts_.begin(), texts_.end()), texts_.end());
    for (size_t i = 0; i < texts_.size(); ++i) index_[texts_[i]] = i;
  }
  size_t Index(const std::string& text) const { return index_.at(text); }
  std::vector<std::string> Take() { return std::move(texts_); }

 private:
  std::vector<std::string> texts_;
  std::unordered_map<std::string, size_t> index_;
};

void CheckNotEmpty(const QaSet& set, const std::string& path) {
  if (set.questions.empty()) {
    throw UserError(fmt::format("{}: no questions with answers", path));
  }
}

// "Title\nsentences", the sentences without anything between them.
std::string HotpotDocument(const Json& pair, const Reader& reader) {
  if (reader.List(pair).size() != 2) {
    throw UserError("HotpotQA: a context is no [title, sentences]");
  }
  std::string text = reader.Text(pair[0]) + "\n";
  for (const Json& sentence : reader.List(pair[1])) {
    text += reader.Text(sentence);
  }
  return text;
}

QaQuestion SquadQuestion(const Json& qa, const Reader& reader, size_t gold,
                         const std::vector<size_t>& article) {
  QaQuestion question;
  question.query = reader.Text(qa, "question");
  for (const Json& answer : reader.List(qa, "answers")) {
    question.answers.push_back(reader.Text(answer, "text"));
  }
  question.gold = question.needed = {gold};
  std::copy_if(article.begin(), article.end(),
               std::back_inserter(question.related),
               [gold](size_t document) { return document != gold; });
  return question;
}

// Titles of the documents that the answer of `row` needs.
std::set<std::string> NeededTitles(const Json& row, const Reader& reader) {
  std::set<std::string> titles;
  if (!row.contains("supporting_facts")) return titles;
  for (const Json& fact : reader.List(row, "supporting_facts")) {
    if (reader.List(fact).empty()) {
      throw UserError("HotpotQA: a supporting fact is no [title, sentence]");
    }
    titles.insert(reader.Text(fact[0]));
  }
  return titles;
}

}  // namespace

QaSet LoadSquad(const std::string& path) {
  const std::string file = ReadTextFile(path);
  const Json json = ParseJsonText(file, path);
  const Reader reader(path);
  const Json& articles = reader.List(json, "data");
  std::vector<std::string> texts;
  for (const Json& article : articles) {
    for (const Json& paragraph : reader.List(article, "paragraphs")) {
      texts.push_back(reader.Text(paragraph, "context"));
    }
  }
  Documents documents(std::move(texts));
  QaSet set;
  for (const Json& article : articles) {
    std::vector<size_t> of_article;
    for (const Json& paragraph : article["paragraphs"]) {
      of_article.push_back(documents.Index(paragraph["context"]));
    }
    for (size_t p = 0; p < of_article.size(); ++p) {
      for (const Json& qa : reader.List(article["paragraphs"][p], "qas")) {
        if (reader.Flag(qa, "is_impossible")) continue;
        set.questions.push_back(
            SquadQuestion(qa, reader, of_article[p], of_article));
      }
    }
  }
  CheckNotEmpty(set, path);
  set.documents = documents.Take();
  set.sha256 = Sha256Hex(file);
  return set;
}

QaSet LoadHotpot(const std::string& path) {
  const std::string file = ReadTextFile(path);
  const Json json = ParseJsonText(file, path);
  const Reader reader(path);
  std::vector<std::string> texts;
  std::vector<std::vector<std::string>> contexts;
  for (const Json& row : reader.List(json)) {
    std::vector<std::string>& context = contexts.emplace_back();
    for (const Json& pair : reader.List(row, "context")) {
      context.push_back(HotpotDocument(pair, reader));
    }
    texts.insert(texts.end(), context.begin(), context.end());
  }
  Documents documents(std::move(texts));
  QaSet set;
  for (size_t i = 0; i < contexts.size(); ++i) {
    QaQuestion& question = set.questions.emplace_back();
    question.query = reader.Text(json[i], "question");
    question.answers = {reader.Text(json[i], "answer")};
    const std::set<std::string> needed = NeededTitles(json[i], reader);
    for (const std::string& text : contexts[i]) {
      question.gold.push_back(documents.Index(text));
      if (needed.contains(text.substr(0, text.find('\n')))) {
        question.needed.push_back(question.gold.back());
      }
    }
    if (question.needed.empty()) question.needed = question.gold;
  }
  CheckNotEmpty(set, path);
  set.documents = documents.Take();
  set.sha256 = Sha256Hex(file);
  return set;
}

}  // namespace rattn
