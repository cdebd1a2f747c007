// A generated world of facts, (subject, entity, attribute) -> value, and the
// words that statements and questions about it are made of.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "tasks/sample.h"

namespace rattn {

struct FactsWorldParams {
  int64_t subjects = 4;
  int64_t entities = 8;    // of each subject
  int64_t attributes = 4;  // of each subject
  int64_t values = 12;     // of each subject
  double held_out = 0.2;   // share of the facts
  int64_t world_seed = 0;
};

template <typename Visitor>
void VisitFields(Visitor& visit, FactsWorldParams& p) {
  visit.Optional("subjects", p.subjects, "subjects");
  visit.Optional("entities", p.entities, "entities of each subject");
  visit.Optional("attributes", p.attributes, "attributes of each subject");
  visit.Optional("values", p.values, "values of each subject");
  visit.Optional("held_out", p.held_out,
                 "share of the facts that training never tells nor asks");
  visit.Optional("world_seed", p.world_seed, "of the facts");
}

inline constexpr int64_t kOptions = 4;
using Options = std::array<int32_t, kOptions>;  // values of a subject, 0-based

struct Fact {
  int64_t id = 0;
  int64_t subject = 0, entity = 0, attribute = 0;
  int32_t value = 0;  // of its subject, 0-based
};

class FactsWorld {
 public:
  // Token ids. A word's text carries the white space before it, so that the
  // text of a prompt is MMLU's layout.
  enum Word : int32_t {
    kPad,
    kHeader,
    kStatement,
    kQuestion,
    kOption0,                       // "\nA." .. "\nD."
    kAnswer = kOption0 + kOptions,  // "\nAnswer:"
    kLetter0,                       // " A" .. " D"
    kWords = kLetter0 + kOptions
  };

  // Throws UserError for parameters out of range.
  explicit FactsWorld(const FactsWorldParams& params);

  const std::vector<Fact>& facts() const { return facts_; }
  // Every entity and every attribute of a subject has trained facts.
  const std::vector<Fact>& trained() const { return trained_; }
  const std::vector<Fact>& trained(int64_t subject) const {
    return trained_of_[subject];
  }
  const std::vector<Fact>& held_out() const { return held_out_; }
  int64_t subjects() const { return p_.subjects; }
  std::string SubjectName(int64_t subject) const;

  // Options in order, the fact's value among them. Each (fact, options) belongs
  // either to training (7 of 8) or to evaluation, whatever the seed.
  Options DrawOptions(const Fact& fact, Purpose purpose,
                      PhiloxSequence* random) const;
  Purpose PurposeOf(const Fact& fact, const Options& options) const;

  // [The following ... about][subject]
  void AppendHeader(int64_t subject, std::vector<int32_t>* tokens) const;
  // [The][attribute][of entity][value]; the value is asked at the entity.
  void AppendStatement(const Fact& fact, std::vector<int32_t>* tokens) const;
  // [What is the][attribute][of entity], four [letter.][value], [Answer:]; the
  // letter is asked at the last.
  void AppendQuestion(const Fact& fact, const Options& options,
                      std::vector<int32_t>* tokens) const;
  static constexpr int64_t kHeaderTokens = 2;
  static constexpr int64_t kStatementTokens = 4;
  static constexpr int64_t kQuestionTokens = 4 + 2 * kOptions;

  int32_t ValueToken(int64_t subject, int32_t value) const;
  static int32_t AnswerLetter(const Fact& fact, const Options& options);
  int64_t vocab_size() const { return value0_ + p_.subjects * p_.values; }
  std::string Text(const std::vector<int32_t>& tokens) const;

 private:
  void HoldOut(int64_t subject, std::vector<Fact> facts);
  std::string WordText(int32_t token) const;

  FactsWorldParams p_;
  int32_t subject0_ = 0, entity0_ = 0, attribute0_ = 0, value0_ = 0;
  std::vector<Fact> facts_, trained_, held_out_;
  std::vector<std::vector<Fact>> trained_of_;
};

}  // namespace rattn
