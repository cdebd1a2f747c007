#include "tasks/facts_world.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "models/error.h"
#include "tasks/params.h"

namespace rattn {
namespace {

constexpr int64_t kMaxCount = 1 << 12;  // four values fit one 64-bit word
constexpr int64_t kMaxFacts = 1 << 20;
constexpr uint64_t kEvaluationShare = 8;  // one in so many option orders

}  // namespace

FactsWorld::FactsWorld(const FactsWorldParams& params) : p_(params) {
  CheckRange("facts", "subjects", p_.subjects, 1, kMaxCount);
  CheckRange("facts", "entities", p_.entities, 2, kMaxCount);
  CheckRange("facts", "attributes", p_.attributes, 2, kMaxCount);
  CheckRange("facts", "values", p_.values, kOptions + 1, kMaxCount);
  CheckRange("facts", "subjects\" x \"entities\" x \"attributes",
             p_.subjects * p_.entities * p_.attributes, 1, kMaxFacts);
  if (!(p_.held_out > 0 && p_.held_out <= 0.5)) {
    throw UserError(fmt::format(
        "facts: \"held_out\" must be above 0 and at most 0.5, not {}",
        p_.held_out));
  }
  subject0_ = kWords;
  entity0_ = subject0_ + static_cast<int32_t>(p_.subjects);
  attribute0_ = entity0_ + static_cast<int32_t>(p_.subjects * p_.entities);
  value0_ = attribute0_ + static_cast<int32_t>(p_.subjects * p_.attributes);
  trained_of_.resize(p_.subjects);
  for (int64_t s = 0; s < p_.subjects; ++s) {
    PhiloxSequence random = TaskStream(p_.world_seed, Purpose::kWorld, s);
    std::vector<Fact> facts;
    for (int64_t e = 0; e < p_.entities; ++e) {
      for (int64_t a = 0; a < p_.attributes; ++a) {
        facts.push_back({static_cast<int64_t>(facts_.size() + facts.size()), s,
                         e, a, static_cast<int32_t>(random.Below(p_.values))});
      }
    }
    facts_.insert(facts_.end(), facts.begin(), facts.end());
    Shuffle(&facts, &random);
    HoldOut(s, std::move(facts));
  }
}

void FactsWorld::HoldOut(int64_t subject, std::vector<Fact> facts) {
  const auto wanted = std::max<int64_t>(
      1, std::llround(p_.held_out * static_cast<double>(facts.size())));
  std::vector<int64_t> of_entity(p_.entities, p_.attributes);
  std::vector<int64_t> of_attribute(p_.attributes, p_.entities);
  int64_t held = 0;
  for (const Fact& fact : facts) {
    int64_t& entity = of_entity[fact.entity];
    int64_t& attribute = of_attribute[fact.attribute];
    if (held < wanted && entity > 1 && attribute > 1) {
      --entity;
      --attribute;
      ++held;
      held_out_.push_back(fact);
    } else {
      trained_.push_back(fact);
      trained_of_[subject].push_back(fact);
    }
  }
}

std::string FactsWorld::SubjectName(int64_t subject) const {
  static constexpr std::array<const char*, 6> kNames = {
      "astronomy", "chemistry", "geography", "history", "medicine", "law"};
  return subject < static_cast<int64_t>(kNames.size())
             ? kNames[subject]
             : fmt::format("subject_{}", subject);
}

Purpose FactsWorld::PurposeOf(const Fact& fact, const Options& options) const {
  uint64_t packed = 0;
  for (const int32_t option : options) packed = packed * kMaxCount + option;
  const uint64_t bits =
      Philox(p_.world_seed,
             static_cast<uint64_t>(Purpose::kWorld) << 60 | fact.id)
          .Bits(packed);
  return bits % kEvaluationShare == 0 ? Purpose::kEval : Purpose::kTrain;
}

Options FactsWorld::DrawOptions(const Fact& fact, Purpose purpose,
                                PhiloxSequence* random) const {
  Options options;
  do {
    options[0] = fact.value;
    for (int64_t filled = 1; filled < kOptions;) {
      const auto value = static_cast<int32_t>(random->Below(p_.values));
      const auto end = options.begin() + filled;
      if (std::find(options.begin(), end, value) == end) {
        options[filled++] = value;
      }
    }
    std::swap(options[0], options[random->Below(kOptions)]);
  } while (PurposeOf(fact, options) != purpose);
  return options;
}

void FactsWorld::AppendHeader(int64_t subject,
                              std::vector<int32_t>* tokens) const {
  tokens->push_back(kHeader);
  tokens->push_back(subject0_ + static_cast<int32_t>(subject));
}

void FactsWorld::AppendStatement(const Fact& fact,
                                 std::vector<int32_t>* tokens) const {
  tokens->push_back(kStatement);
  tokens->push_back(
      attribute0_ +
      static_cast<int32_t>(fact.subject * p_.attributes + fact.attribute));
  tokens->push_back(entity0_ + static_cast<int32_t>(fact.subject * p_.entities +
                                                    fact.entity));
  tokens->push_back(ValueToken(fact.subject, fact.value));
}

void FactsWorld::AppendQuestion(const Fact& fact, const Options& options,
                                std::vector<int32_t>* tokens) const {
  AppendStatement(fact, tokens);
  tokens->pop_back();
  (*tokens)[tokens->size() - 3] = kQuestion;
  for (int64_t i = 0; i < kOptions; ++i) {
    tokens->push_back(kOption0 + static_cast<int32_t>(i));
    tokens->push_back(ValueToken(fact.subject, options[i]));
  }
  tokens->push_back(kAnswer);
}

int32_t FactsWorld::ValueToken(int64_t subject, int32_t value) const {
  return value0_ + static_cast<int32_t>(subject * p_.values) + value;
}

int32_t FactsWorld::AnswerLetter(const Fact& fact, const Options& options) {
  return kLetter0 + static_cast<int32_t>(
                        std::find(options.begin(), options.end(), fact.value) -
                        options.begin());
}

std::string FactsWorld::WordText(int32_t token) const {
  if (token < 0 || token >= vocab_size()) return fmt::format(" <{}>", token);
  if (token >= value0_) return fmt::format(" value{}", token - value0_);
  if (token >= attribute0_) {
    return fmt::format(" attribute{}", token - attribute0_);
  }
  if (token >= entity0_) return fmt::format(" of entity{}", token - entity0_);
  if (token >= subject0_) {
    return fmt::format(" {}.", SubjectName(token - subject0_));
  }
  if (token >= kLetter0) {
    return fmt::format(" {:c}", 'A' + token - kLetter0);
  }
  if (token == kAnswer) return "\nAnswer:";
  if (token >= kOption0) {
    return fmt::format("\n{:c}.", 'A' + token - kOption0);
  }
  static constexpr std::array<const char*, kOption0> kTexts = {
      "", "The following are multiple choice questions (with answers) about",
      "\n\nThe", "\n\nWhat is the"};
  return kTexts[token];
}

std::string FactsWorld::Text(const std::vector<int32_t>& tokens) const {
  std::string text;
  for (const int32_t token : tokens) text += WordText(token);
  return text;
}

}  // namespace rattn
