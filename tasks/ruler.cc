#include "tasks/ruler.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <numeric>

#include "models/error.h"
#include "tasks/params.h"
#include "tasks/scoring.h"

namespace rattn {
namespace {

Tokens PromptOf(const RulerText& text) {
  Tokens prompt = text.haystack;
  const Tokens& question = text.questions[0].prompt;
  prompt.insert(prompt.end(), question.begin(), question.end());
  return prompt;
}

// Predicted answers of texts whose answers are equally long.
using Predict = std::vector<Tokens> (*)(const LanguageModel&,
                                        const std::vector<RulerText>&);

// The likeliest token at every answer place of the texts `rows`, each after its
// prompt and the draft of its answer up to there: one forward.
std::vector<Tokens> FollowDrafts(const LanguageModel& model,
                                 const std::vector<RulerText>& texts,
                                 const std::vector<Tokens>& drafts,
                                 const std::vector<size_t>& rows) {
  std::vector<Sample> samples;
  std::vector<TokenAt> places;
  for (const size_t row : rows) {
    Sample sample{PromptOf(texts[row]), {}};
    for (size_t i = 0; i < drafts[row].size(); ++i) {
      places.push_back({static_cast<int64_t>(samples.size()),
                        static_cast<int64_t>(sample.tokens.size()) - 1});
      sample.tokens.push_back(drafts[row][i]);
    }
    samples.push_back(std::move(sample));
  }
  const auto tokens = LikeliestTokens(model, ToBatch(samples), places);
  std::vector<Tokens> followed;
  auto next = tokens.begin();
  for (const size_t row : rows) {
    const auto end = next + static_cast<int64_t>(drafts[row].size());
    followed.emplace_back(next, end);
    next = end;
  }
  return followed;
}

std::vector<Tokens> RightAnswers(const std::vector<RulerText>& texts) {
  std::vector<Tokens> answers;
  for (const RulerText& text : texts) {
    answers.push_back(text.questions[0].answer);
  }
  return answers;
}

std::vector<size_t> AllRows(const std::vector<RulerText>& texts) {
  std::vector<size_t> rows(texts.size());
  std::iota(rows.begin(), rows.end(), 0);
  return rows;
}

std::vector<Tokens> PredictAfterTeacher(const LanguageModel& model,
                                        const std::vector<RulerText>& texts) {
  return FollowDrafts(model, texts, RightAnswers(texts), AllRows(texts));
}

// Greedy decoding with the right answer as the first draft: up to the first
// place where the model disagrees the draft is what it would have said, and
// there its own token is known. From then on its last answer is the draft. A
// draft that the model follows is its greedy answer; each round settles one
// more token at least.
std::vector<Tokens> PredictGreedily(const LanguageModel& model,
                                    const std::vector<RulerText>& texts) {
  std::vector<Tokens> drafts = RightAnswers(texts);
  std::vector<size_t> open = AllRows(texts);
  for (size_t settled = 0; settled < drafts[0].size() && !open.empty();
       ++settled) {
    const auto followed = FollowDrafts(model, texts, drafts, open);
    std::vector<size_t> still_open;
    for (size_t i = 0; i < open.size(); ++i) {
      // The last token is no input of another.
      const bool same = std::equal(followed[i].begin(), followed[i].end() - 1,
                                   drafts[open[i]].begin());
      drafts[open[i]] = followed[i];
      if (!same) still_open.push_back(open[i]);
    }
    open = std::move(still_open);
  }
  return drafts;
}

std::vector<Tokens> PredictByGeneration(const LanguageModel& model,
                                        const std::vector<RulerText>& texts) {
  std::vector<Tokens> predicted;
  for (const RulerText& text : texts) {
    predicted.push_back(model.Generate(
        PromptOf(text), static_cast<int64_t>(text.questions[0].answer.size()),
        /*stop_token=*/-1, /*prefill_chunk=*/0, nullptr));
  }
  return predicted;
}

struct Scoring {
  const char* name;
  Predict predict;
};
constexpr Scoring kScorings[] = {{"greedy", PredictGreedily},
                                 {"generate", PredictByGeneration},
                                 {"teacher", PredictAfterTeacher}};

Predict FindScoring(const std::string& origin, const std::string& name) {
  std::vector<std::string> names;
  for (const Scoring& scoring : kScorings) names.push_back(scoring.name);
  CheckOneOf(origin, "scoring", name, names);
  return std::find_if(std::begin(kScorings), std::end(kScorings),
                      [&](const Scoring& s) { return s.name == name; })
      ->predict;
}

std::string SampleJson(const RulerVocab& vocab, const RulerMember& member,
                       int64_t index, int64_t length, const RulerText& text,
                       const Tokens& predicted, double score) {
  const RulerQuestion& question = text.questions[0];
  Json json = {{"task", member.name},
               {"index", index},
               {"length", length},
               {"depth", nullptr},
               {"question", vocab.Text(question.prompt)},
               {"prediction", vocab.Text(predicted)},
               {"references", Json::array()},
               {"score", score}};
  if (question.depth) json["depth"] = *question.depth;
  for (const Tokens& reference : question.references) {
    json["references"].push_back(vocab.Text(reference));
  }
  return json.dump();
}

Score PercentScore(std::string key, const Mean& mean, double chance) {
  return {.key = std::move(key),
          .value = 100 * mean.value(),
          .standard_error = 100 * mean.standard_error(),
          .chance = 100 * chance,
          .unit = "percent",
          .n = mean.n()};
}

// RULER's score at a length: the plain mean of its tasks'.
Score Headline(const std::vector<Score>& tasks) {
  Score all{.key = "score", .unit = "percent"};
  double variance = 0;
  const auto count = static_cast<double>(tasks.size());
  for (const Score& task : tasks) {
    all.value += task.value / count;
    all.chance += task.chance / count;
    variance += task.standard_error * task.standard_error;
    all.n += task.n;
  }
  all.standard_error = std::sqrt(variance) / count;
  return all;
}

}  // namespace

double RulerScore(const Tokens& predicted,
                  const std::vector<Tokens>& references, bool any) {
  double found = 0;
  for (const Tokens& reference : references) {
    found += std::search(predicted.begin(), predicted.end(), reference.begin(),
                         reference.end()) != predicted.end();
  }
  return any ? std::min(found, 1.0)
             : found / static_cast<double>(references.size());
}

RulerTask::RulerTask(std::string name, RulerParams params,
                     std::unique_ptr<RulerVocab> vocab,
                     std::vector<RulerMember> members, const Json& identity)
    : name_(std::move(name)),
      params_(std::move(params)),
      vocab_(std::move(vocab)),
      members_(std::move(members)),
      fingerprint_(FingerprintOf(name_, identity)) {
  FindScoring(name_, params_.scoring);
  CheckRange(name_, "train_questions", params_.train_questions, 1, 1 << 10);
  if (params_.depth && !(*params_.depth >= 0 && *params_.depth <= 100)) {
    throw UserError(fmt::format("{}: \"depth\" must be from 0 to 100, not {}",
                                name_, *params_.depth));
  }
  for (const RulerMember& member : members_) total_weight_ += member.weight;
  if (!(total_weight_ > 0)) {
    throw UserError(name_ + ": no task has a weight above 0");
  }
  // A length of 0 would mean this one.
  CheckLength(name_, params_.train_length, 1);
  LengthOf(params_.train_length);
}

int64_t RulerTask::LengthOf(int64_t length) const {
  if (length == 0) return params_.train_length;
  for (const RulerMember& member : members_) {
    CheckLength(member.name, length, member.generator->LeastLength(1));
  }
  return length;
}

RulerText RulerTask::EvalText(const RulerMember& member, uint64_t seed,
                              int64_t index, int64_t length) const {
  PhiloxSequence random = TaskStream(seed, Purpose::kEval, index);
  return member.generator->Make(
      {.length = length, .questions = 1, .depth = params_.depth}, &random);
}

Sample RulerTask::TrainSample(int64_t index) const {
  PhiloxSequence random = TaskStream(params_.seed, Purpose::kTrain, index);
  double left = random.Uniform() * total_weight_;
  const RulerMember* member = nullptr;
  for (const RulerMember& candidate : members_) {
    if (candidate.weight > 0) member = &candidate;
    left -= candidate.weight;
    if (left < 0) break;
  }
  const RulerGenerator& generator = *member->generator;
  int64_t questions =
      std::min(params_.train_questions, generator.most_questions());
  while (questions > 1 &&
         generator.LeastLength(questions) > params_.train_length) {
    --questions;
  }
  const RulerText text =
      generator.Make({.length = params_.train_length,
                      .questions = questions,
                      .depth = {},
                      .thin_distractors = params_.thin_distractors},
                     &random);
  Sample sample{text.haystack, {}};
  for (const RulerQuestion& question : text.questions) {
    sample.tokens.insert(sample.tokens.end(), question.prompt.begin(),
                         question.prompt.end());
    for (const int32_t token : question.answer) {
      sample.labels.push_back(
          {static_cast<int64_t>(sample.tokens.size()) - 1, token});
      sample.tokens.push_back(token);
    }
  }
  return sample;
}

Batch RulerTask::TrainBatch(int64_t step, int64_t rows) const {
  std::vector<Sample> samples;
  for (int64_t row = 0; row < rows; ++row) {
    samples.push_back(TrainSample(step * rows + row));
  }
  return ToBatch(samples);
}

EvalResult RulerTask::Evaluate(const LanguageModel& model,
                               const EvalOptions& options) const {
  CheckEvaluation(*this, model, options);
  const int64_t length = LengthOf(options.length);
  const Predict predict = FindScoring(name_, params_.scoring);
  const auto count_members = static_cast<int64_t>(members_.size());
  const int64_t total = options.samples * count_members;
  EvalResult result;
  bool stopped = false;
  for (int64_t m = 0; m < count_members && !stopped; ++m) {
    const RulerMember& member = members_[m];
    EvalOptions of_member = options;
    if (options.progress) {
      of_member.progress = [&](int64_t done, int64_t) {
        stopped = !options.progress(m * options.samples + done, total);
        return !stopped;
      };
    }
    Mean mean;
    ForEachBatch(options.samples, of_member, [&](int64_t first, int64_t count) {
      std::vector<RulerText> texts;
      for (int64_t i = 0; i < count; ++i) {
        texts.push_back(EvalText(member, options.seed, first + i, length));
      }
      const auto predicted = predict(model, texts);
      for (int64_t i = 0; i < count; ++i) {
        const double score =
            RulerScore(predicted[i], texts[i].questions[0].references,
                       member.generator->any_reference());
        mean.Add(score);
        result.sample_jsonl.push_back(SampleJson(
            *vocab_, member, first + i, length, texts[i], predicted[i], score));
      }
    });
    result.scores.push_back(
        PercentScore("score." + member.name, mean, member.generator->Chance()));
  }
  result.scores.insert(result.scores.begin(), Headline(result.scores));
  return result;
}

std::string RulerTask::Show(uint64_t seed, int64_t index,
                            int64_t length) const {
  CheckIndex(name_, index);
  length = LengthOf(length);
  std::string shown;
  for (const RulerMember& member : members_) {
    const RulerText text = EvalText(member, seed, index, length);
    const RulerQuestion& question = text.questions[0];
    std::string references;
    for (const Tokens& reference : question.references) {
      references += fmt::format("{}{}", references.empty() ? "" : " | ",
                                vocab_->Text(reference));
    }
    shown += fmt::format(
        "{}\n  text        {}\n  question    {}\n  answer      {}\n"
        "  references  {}{}\n",
        member.name, vocab_->Text(text.haystack), vocab_->Text(question.prompt),
        vocab_->Text(question.answer), references,
        member.generator->any_reference() ? " (any)" : "");
    if (question.depth) {
      shown += fmt::format("  depth       {:.1f} %\n", *question.depth);
    }
  }
  return shown;
}

}  // namespace rattn
