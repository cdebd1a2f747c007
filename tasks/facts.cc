#include "tasks/facts.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "models/error.h"
#include "models/json_fields.h"
#include "tasks/params.h"
#include "tasks/scoring.h"

namespace rattn {
namespace {

constexpr std::string_view kName = "facts";
constexpr double kChance = 1.0 / kOptions;
constexpr int64_t kLeastLength =
    FactsWorld::kHeaderTokens + FactsWorld::kQuestionTokens;
constexpr int64_t kShotTokens = FactsWorld::kQuestionTokens + 1;  // its letter

struct Question {
  Fact fact;
  Options options;
  std::vector<int32_t> prompt;
};

class FactsTask : public Task {
 public:
  explicit FactsTask(const FactsParams& params)
      : p_(params), world_(params.world) {
    CheckLength(kName, p_.train_length, kLeastLength + 1);
    CheckRange(kName, "shots", p_.shots, 0, 1 << 16);
    if (!(p_.question_share >= 0 && p_.question_share <= 1)) {
      throw UserError(
          fmt::format("facts: \"question_share\" must be from 0 to 1, not {}",
                      p_.question_share));
    }
  }

  std::string_view name() const override { return kName; }
  int64_t train_length() const override { return p_.train_length; }
  int64_t vocab_size() const override { return world_.vocab_size(); }
  std::string Fingerprint() const override {
    Json identity = PrintFields(p_);
    identity.erase("shots");
    return FingerprintOf(kName, identity);
  }

  Batch TrainBatch(int64_t step, int64_t rows) const override;
  EvalResult Evaluate(const LanguageModel& model,
                      const EvalOptions& options) const override;
  std::string Show(uint64_t seed, int64_t index, int64_t length) const override;

 private:
  struct Tally {
    ClusteredMean trained, held_out;
    std::vector<ClusteredMean> of_subject;
  };

  Sample TrainSample(int64_t index) const;
  int64_t ShotsOf(int64_t length) const;
  // Question `index` of an evaluation about `facts`, all asked in turn.
  Question EvalQuestion(const std::vector<Fact>& facts, uint64_t seed,
                        int64_t index, int64_t shots) const;
  void AppendShots(const Fact& fact, int64_t shots, PhiloxSequence* random,
                   std::vector<int32_t>* tokens) const;
  void ScoreBatch(const LanguageModel& model,
                  const std::vector<Question>& questions, bool held_out,
                  Tally* tally, EvalResult* result) const;
  std::vector<Score> Scores(const Tally& tally) const;

  FactsParams p_;
  FactsWorld world_;
};

Sample FactsTask::TrainSample(int64_t index) const {
  PhiloxSequence random = TaskStream(p_.seed, Purpose::kTrain, index);
  const auto subject = static_cast<int64_t>(random.Below(world_.subjects()));
  const std::vector<Fact>& facts = world_.trained(subject);
  const bool questions = random.Uniform() < p_.question_share;
  const int64_t piece = questions ? kShotTokens : FactsWorld::kStatementTokens;
  Sample sample;
  world_.AppendHeader(subject, &sample.tokens);
  const auto label = [&](int32_t target) {
    sample.labels.push_back(
        {static_cast<int64_t>(sample.tokens.size()) - 1, target});
    sample.tokens.push_back(target);
  };
  while (static_cast<int64_t>(sample.tokens.size()) + piece <=
         p_.train_length) {
    const Fact& fact = facts[random.Below(facts.size())];
    if (questions) {
      const Options options =
          world_.DrawOptions(fact, Purpose::kTrain, &random);
      world_.AppendQuestion(fact, options, &sample.tokens);
      label(FactsWorld::AnswerLetter(fact, options));
    } else {
      world_.AppendStatement(fact, &sample.tokens);
      sample.tokens.pop_back();
      label(world_.ValueToken(subject, fact.value));
    }
  }
  sample.tokens.resize(p_.train_length, FactsWorld::kPad);
  return sample;
}

Batch FactsTask::TrainBatch(int64_t step, int64_t rows) const {
  std::vector<Sample> samples;
  for (int64_t row = 0; row < rows; ++row) {
    samples.push_back(TrainSample(step * rows + row));
  }
  return ToBatch(samples);
}

int64_t FactsTask::ShotsOf(int64_t length) const {
  if (length == 0) return p_.shots;
  CheckLength(kName, length, kLeastLength);
  return (length - kLeastLength) / kShotTokens;
}

// Other trained facts of the subject, in random order, again when all were
// used.
void FactsTask::AppendShots(const Fact& fact, int64_t shots,
                            PhiloxSequence* random,
                            std::vector<int32_t>* tokens) const {
  std::vector<Fact> others;
  for (const Fact& other : world_.trained(fact.subject)) {
    if (other.id != fact.id) others.push_back(other);
  }
  Shuffle(&others, random);
  for (int64_t i = 0; i < shots; ++i) {
    const Fact& shot = others[i % others.size()];
    const Options options = world_.DrawOptions(shot, Purpose::kTrain, random);
    world_.AppendQuestion(shot, options, tokens);
    tokens->push_back(FactsWorld::AnswerLetter(shot, options));
  }
}

Question FactsTask::EvalQuestion(const std::vector<Fact>& facts, uint64_t seed,
                                 int64_t index, int64_t shots) const {
  const auto count = static_cast<int64_t>(facts.size());
  // One order per seed, so that few samples still spread over all subjects.
  PhiloxSequence order = TaskStream(seed, Purpose::kWorld, 0);
  Question question;
  question.fact = facts[DrawDistinct(count, count, &order)[index % count]];
  PhiloxSequence random =
      TaskStream(seed, Purpose::kEval,
                 index / count * (int64_t{1} << 24) + question.fact.id);
  question.options = world_.DrawOptions(question.fact, Purpose::kEval, &random);
  world_.AppendHeader(question.fact.subject, &question.prompt);
  AppendShots(question.fact, shots, &random, &question.prompt);
  world_.AppendQuestion(question.fact, question.options, &question.prompt);
  return question;
}

void FactsTask::ScoreBatch(const LanguageModel& model,
                           const std::vector<Question>& questions,
                           bool held_out, Tally* tally,
                           EvalResult* result) const {
  std::vector<Sample> rows;
  std::vector<TokenAt> places;
  for (const Question& question : questions) {
    places.push_back({static_cast<int64_t>(rows.size()),
                      static_cast<int64_t>(question.prompt.size()) - 1});
    rows.push_back({question.prompt, {}});
  }
  const std::vector<float> logits = model.Logits(ToBatch(rows), places);
  CheckFinite(logits);
  for (size_t i = 0; i < questions.size(); ++i) {
    const Question& question = questions[i];
    const auto letters = logits.begin() +
                         static_cast<int64_t>(i) * model.vocab_size() +
                         FactsWorld::kLetter0;
    const auto chosen = std::max_element(letters, letters + kOptions) - letters;
    const int32_t right =
        FactsWorld::AnswerLetter(question.fact, question.options) -
        FactsWorld::kLetter0;
    const double score = chosen == right ? 1 : 0;
    if (held_out) {
      tally->held_out.Add(question.fact.id, score);
    } else {
      tally->trained.Add(question.fact.id, score);
      tally->of_subject[question.fact.subject].Add(question.fact.id, score);
    }
    result->sample_jsonl.push_back(Json{
        {"subject", world_.SubjectName(question.fact.subject)},
        {"fact", question.fact.id},
        {"held_out", held_out},
        {"tokens", question.prompt.size()},
        {"options", question.options},
        {"letter_logits", std::vector<float>(letters, letters + kOptions)},
        {"chosen", std::string(1, static_cast<char>('A' + chosen))},
        {"answer", std::string(1, static_cast<char>('A' + right))},
        {"score", score}}.dump());
  }
}

std::vector<Score> FactsTask::Scores(const Tally& tally) const {
  const auto score = [](std::string key, double value, double error,
                        double weight) {
    return Score{.key = std::move(key),
                 .value = value,
                 .standard_error = error,
                 .chance = kChance,
                 .unit = "fraction",
                 .n = static_cast<int64_t>(weight)};
  };
  const auto of_mean = [&](std::string key, const ClusteredMean& mean) {
    return score(std::move(key), mean.value(), mean.standard_error(),
                 mean.weight());
  };
  double sum = 0, squares = 0, asked = 0;
  std::vector<Score> subjects;
  for (int64_t s = 0; s < world_.subjects(); ++s) {
    const ClusteredMean& mean = tally.of_subject[s];
    if (mean.weight() == 0) continue;  // fewer samples than subjects
    sum += mean.value();
    squares += mean.standard_error() * mean.standard_error();
    ++asked;
    subjects.push_back(
        of_mean("accuracy.subject." + world_.SubjectName(s), mean));
  }
  asked = std::max(asked, 1.0);
  std::vector<Score> scores = {
      of_mean("accuracy", tally.trained),
      score("accuracy.macro", sum / asked, std::sqrt(squares) / asked,
            tally.trained.weight()),
      of_mean("accuracy.held_out", tally.held_out)};
  scores.insert(scores.end(), subjects.begin(), subjects.end());
  return scores;
}

EvalResult FactsTask::Evaluate(const LanguageModel& model,
                               const EvalOptions& options) const {
  CheckEvaluation(*this, model, options);
  const int64_t shots = ShotsOf(options.length);
  Tally tally;
  tally.of_subject.resize(world_.subjects());
  EvalResult result;
  // Trained and held-out questions in turn, so that a stopped evaluation has
  // both.
  ForEachBatch(2 * options.samples, options, [&](int64_t first, int64_t count) {
    std::vector<Question> trained, held_out;
    for (int64_t i = first; i < first + count; ++i) {
      const bool held = i % 2 == 1;
      (held ? held_out : trained)
          .push_back(EvalQuestion(held ? world_.held_out() : world_.trained(),
                                  options.seed, i / 2, shots));
    }
    if (!trained.empty()) {
      ScoreBatch(model, trained, false, &tally, &result);
    }
    if (!held_out.empty()) {
      ScoreBatch(model, held_out, true, &tally, &result);
    }
  });
  result.scores = Scores(tally);
  return result;
}

std::string FactsTask::Show(uint64_t seed, int64_t index,
                            int64_t length) const {
  CheckIndex(kName, index);
  const int64_t shots = ShotsOf(length);
  const bool held_out = index % 2 == 1;
  const Question question = EvalQuestion(
      held_out ? world_.held_out() : world_.trained(), seed, index / 2, shots);
  return fmt::format(
      "{}\n[{} fact; right:{}]\n", world_.Text(question.prompt),
      held_out ? "held-out" : "trained",
      world_.Text({FactsWorld::AnswerLetter(question.fact, question.options)}));
}

}  // namespace

std::unique_ptr<Task> MakeFacts(const std::string& params_json) {
  return std::make_unique<FactsTask>(ParseFields<FactsParams>(
      ParseParams(kName, params_json), std::string(kName)));
}

}  // namespace rattn
