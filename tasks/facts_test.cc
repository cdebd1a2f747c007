#include "tasks/facts.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "models/error.h"
#include "tasks/fake_model.h"
#include "tasks/params.h"

namespace rattn {
namespace {

using ::testing::HasSubstr;

// What a row of tokens tells and asks, read from the words alone.
struct Told {
  std::string pair, value;  // "attribute of entity"
};
struct Asked {
  std::string pair;
  std::vector<std::string> options;
  std::string letter;  // "" = not answered
};
struct Reading {
  std::string subject;
  std::vector<Told> told;
  std::vector<Asked> asked;
};

std::string After(const std::string& text, const std::string& start) {
  return text.substr(0, start.size()) == start ? text.substr(start.size()) : "";
}

Reading Read(const FactsWorld& world, std::span<const int32_t> tokens) {
  Reading reading;
  std::string text = world.Text({tokens.begin(), tokens.end()});
  std::vector<std::string> blocks;
  for (size_t at = 0; at != std::string::npos;) {
    const size_t end = text.find("\n\n", at);
    blocks.push_back(text.substr(at, end - at));
    at = end == std::string::npos ? end : end + 2;
  }
  reading.subject = After(blocks[0],
                          "The following are multiple choice questions (with "
                          "answers) about ");
  for (size_t i = 1; i < blocks.size(); ++i) {
    if (const std::string rest = After(blocks[i], "The "); !rest.empty()) {
      const size_t space = rest.rfind(' ');
      reading.told.push_back({rest.substr(0, space), rest.substr(space + 1)});
      continue;
    }
    Asked asked;
    std::vector<std::string> lines;
    std::string rest = After(blocks[i], "What is the ");
    while (true) {
      const size_t end = rest.find('\n');
      lines.push_back(rest.substr(0, end));
      if (end == std::string::npos) break;
      rest = rest.substr(end + 1);
    }
    EXPECT_EQ(lines.size(), 6u) << blocks[i];
    asked.pair = lines[0];
    for (int o = 0; o < 4; ++o) {
      asked.options.push_back(
          After(lines[1 + o], std::string(1, "ABCD"[o]) + ". "));
    }
    asked.letter = After(lines[5], "Answer: ");
    reading.asked.push_back(asked);
  }
  return reading;
}

std::string PairOf(const FactsWorld& world, const Fact& fact) {
  std::vector<int32_t> tokens;
  world.AppendStatement(fact, &tokens);
  tokens.erase(tokens.begin());
  tokens.pop_back();
  return world.Text(tokens).substr(1);
}

std::map<std::string, std::string> Truth(const FactsWorld& world,
                                         const std::vector<Fact>& facts) {
  std::map<std::string, std::string> truth;
  for (const Fact& fact : facts) {
    truth[PairOf(world, fact)] =
        world.Text({world.ValueToken(fact.subject, fact.value)}).substr(1);
  }
  return truth;
}

EvalOptions Options(int64_t length, int64_t samples) {
  return {.length = length,
          .samples = samples,
          .seed = 5,
          .batch = 30,
          .progress = {}};
}

// Knows `facts` and answers the last question of a prompt; guesses letter A of
// others.
FakeModel Knows(const FactsWorld& world, const std::vector<Fact>& facts) {
  return FakeModel::Certain(
      world.vocab_size(),
      [&world, truth = Truth(world, facts)](FakeModel::Prefix prefix) {
        const Asked asked = Read(world, prefix).asked.back();
        const auto known = truth.find(asked.pair);
        for (int i = 0; i < 4 && known != truth.end(); ++i) {
          if (asked.options[i] == known->second) {
            return FactsWorld::kLetter0 + i;
          }
        }
        return static_cast<int>(FactsWorld::kLetter0);
      });
}

std::map<std::string, Score> ByKey(const EvalResult& result) {
  std::map<std::string, Score> scores;
  for (const Score& score : result.scores) scores[score.key] = score;
  return scores;
}

TEST(Facts, WorldHoldsOutWholePairs) {
  FactsWorldParams params;
  params.held_out = 0.25;
  const FactsWorld world(params);
  EXPECT_EQ(world.facts().size(), 128u);
  EXPECT_EQ(world.held_out().size(), 32u);
  std::set<int64_t> ids;
  std::set<std::array<int64_t, 2>> entities, attributes;
  for (const Fact& fact : world.trained()) {
    ids.insert(fact.id);
    entities.insert({fact.subject, fact.entity});
    attributes.insert({fact.subject, fact.attribute});
  }
  for (const Fact& fact : world.held_out()) EXPECT_FALSE(ids.contains(fact.id));
  EXPECT_EQ(ids.size(), 96u);
  EXPECT_EQ(entities.size(), 32u);
  EXPECT_EQ(attributes.size(), 16u);
}

// The control is worth nothing if a held-out fact leaks into training.
TEST(Facts, TrainingTellsAndAsksTrainedFactsOnly) {
  const FactsWorld world({});
  const auto trained = Truth(world, world.trained());
  const auto held_out = Truth(world, world.held_out());
  const auto task = MakeFacts("");
  std::set<std::string> told, asked;
  for (int64_t step = 0; step < 40; ++step) {
    const Batch batch = task->TrainBatch(step, 32);
    ASSERT_EQ(batch.length, 64);
    for (int64_t row = 0; row < batch.rows; ++row) {
      const Reading reading =
          Read(world, std::span(batch.tokens).subspan(row * 64, 64));
      for (const Told& fact : reading.told) {
        ASSERT_FALSE(held_out.contains(fact.pair)) << fact.pair;
        EXPECT_EQ(trained.at(fact.pair), fact.value);
        told.insert(fact.pair);
      }
      for (const Asked& fact : reading.asked) {
        ASSERT_FALSE(held_out.contains(fact.pair)) << fact.pair;
        ASSERT_FALSE(fact.letter.empty());
        EXPECT_EQ(fact.options[fact.letter[0] - 'A'], trained.at(fact.pair));
        EXPECT_EQ(std::set(fact.options.begin(), fact.options.end()).size(),
                  4u);
        asked.insert(fact.pair);
      }
    }
  }
  EXPECT_EQ(told.size(), trained.size());
  EXPECT_EQ(asked.size(), trained.size());
}

TEST(Facts, LabelsAreTheNextToken) {
  const FactsWorld world({});
  const Batch batch = MakeFacts("")->TrainBatch(1, 64);
  int64_t letters = 0, values = 0;
  for (int64_t at = 0; at + 1 < batch.rows * batch.length; ++at) {
    const int32_t target = batch.targets[at];
    if (target == kNoTarget) continue;
    EXPECT_EQ(target, batch.tokens[at + 1]);
    const bool letter = batch.tokens[at] == FactsWorld::kAnswer;
    EXPECT_EQ(letter, target >= FactsWorld::kLetter0 &&
                          target < FactsWorld::kLetter0 + 4);
    ++(letter ? letters : values);
  }
  EXPECT_GT(letters, 80);
  EXPECT_GT(values, 300);
}

TEST(Facts, EvaluatedOptionOrdersAreNotTrained) {
  const FactsWorld world({});
  const auto task = MakeFacts("");
  std::set<std::pair<std::string, std::vector<std::string>>> trained;
  for (int64_t step = 0; step < 100; ++step) {
    const Batch batch = task->TrainBatch(step, 32);
    for (int64_t row = 0; row < batch.rows; ++row) {
      for (const Asked& asked :
           Read(world, std::span(batch.tokens).subspan(row * 64, 64)).asked) {
        trained.insert({asked.pair, asked.options});
      }
    }
  }
  EXPECT_GT(trained.size(), 2000u);
  std::set<std::pair<std::string, std::vector<std::string>>> evaluated;
  const FakeModel spy =
      FakeModel::Certain(world.vocab_size(), [&](FakeModel::Prefix prefix) {
        const Asked last = Read(world, prefix).asked.back();
        evaluated.insert({last.pair, last.options});
        return 0;
      });
  task->Evaluate(spy, Options(0, 1000));
  EXPECT_GT(evaluated.size(), 1900u);
  for (const auto& question : evaluated) {
    EXPECT_FALSE(trained.contains(question)) << question.first;
  }
}

TEST(Facts, PromptIsMmluLayout) {
  const FactsWorld world({});
  const auto task = MakeFacts("{\"shots\": 3}");
  int64_t prompts = 0;
  const FakeModel spy =
      FakeModel::Certain(world.vocab_size(), [&](FakeModel::Prefix prefix) {
        ++prompts;
        const Reading reading = Read(world, prefix);
        EXPECT_EQ(prefix.size(), 2u + 3 * 13 + 12);
        EXPECT_EQ(prefix.back(), FactsWorld::kAnswer);
        EXPECT_EQ(reading.asked.size(), 4u);
        EXPECT_TRUE(reading.told.empty());
        std::set<std::string> pairs;
        for (size_t i = 0; i < reading.asked.size(); ++i) {
          EXPECT_EQ(reading.asked[i].letter.empty(), i == 3);
          pairs.insert(reading.asked[i].pair);
        }
        EXPECT_EQ(pairs.size(), 4u);
        return 0;
      });
  task->Evaluate(spy, Options(0, 50));
  EXPECT_EQ(prompts, 100);
}

TEST(Facts, KnowingTrainedFactsScoresOneAndChanceOnTheRest) {
  const FactsWorld world({});
  const auto task = MakeFacts("");
  const EvalResult result =
      task->Evaluate(Knows(world, world.trained()), Options(0, 2500));
  auto scores = ByKey(result);
  EXPECT_EQ(result.scores[0].key, "accuracy");
  EXPECT_EQ(scores["accuracy"].value, 1);
  EXPECT_EQ(scores["accuracy"].n, 2500);
  EXPECT_EQ(scores["accuracy.macro"].value, 1);
  EXPECT_EQ(scores["accuracy.subject.astronomy"].value, 1);
  EXPECT_EQ(scores.size(), 7u);
  EXPECT_EQ(scores["accuracy.held_out"].chance, 0.25);
  EXPECT_NEAR(scores["accuracy.held_out"].value, 0.25, 0.04);
  EXPECT_GT(scores["accuracy.held_out"].standard_error, 0.002);
}

TEST(Facts, RandomModelIsAtChance) {
  const auto task = MakeFacts("");
  PhiloxSequence random(9, 9);
  const FakeModel model(task->vocab_size(), [&](FakeModel::Prefix) {
    std::vector<float> logits(task->vocab_size());
    for (float& logit : logits) logit = static_cast<float>(random.Uniform());
    return logits;
  });
  for (const Score& score : task->Evaluate(model, Options(0, 2000)).scores) {
    EXPECT_NEAR(score.value, 0.25, 5 * score.standard_error) << score.key;
    EXPECT_LT(score.standard_error, 0.04) << score.key;
  }
}

TEST(Facts, MicroWeighsQuestionsMacroSubjects) {
  const FactsWorld world({});
  const auto task = MakeFacts("");
  // Knows one subject only; the letter A is right by luck elsewhere.
  auto scores =
      ByKey(task->Evaluate(Knows(world, world.trained(1)), Options(0, 777)));
  EXPECT_EQ(scores["accuracy.subject.chemistry"].value, 1);
  double sum = 0, right = 0, asked = 0;
  for (const auto& [key, score] : scores) {
    if (key.find("subject") == std::string::npos) continue;
    sum += score.value;
    right += score.value * static_cast<double>(score.n);
    asked += static_cast<double>(score.n);
  }
  EXPECT_NEAR(scores["accuracy.macro"].value, sum / 4, 1e-12);
  EXPECT_NEAR(scores["accuracy"].value, right / asked, 1e-12);
  EXPECT_EQ(asked, 777);
}

TEST(Facts, LengthAddsShots) {
  const FactsWorld world({});
  const auto task = MakeFacts("");
  size_t longest = 0;
  const FakeModel spy =
      FakeModel::Certain(world.vocab_size(), [&](FakeModel::Prefix prefix) {
        longest = std::max(longest, prefix.size());
        return 0;
      });
  task->Evaluate(spy, Options(600, 4));
  EXPECT_LE(longest, 600u);
  EXPECT_GT(longest, 600u - 13);
}

TEST(Facts, SamplesAreJson) {
  const FactsWorld world({});
  const EvalResult result =
      MakeFacts("")->Evaluate(Knows(world, world.trained()), Options(0, 3));
  ASSERT_EQ(result.sample_jsonl.size(), 6u);
  const Json json = Json::parse(result.sample_jsonl[0]);
  EXPECT_EQ(json["score"], 1.0);
  EXPECT_EQ(json["chosen"], json["answer"]);
  EXPECT_EQ(json["letter_logits"].size(), 4u);
}

TEST(Facts, GoldenSamples) {
  const auto task = MakeFacts("");
  std::string all;
  for (int64_t i = 0; i < 4; ++i) all += task->Show(7, i, 0);
  EXPECT_EQ(HexHash(all), "8c980125611cad40");
  EXPECT_EQ(task->Fingerprint(), MakeFacts("{\"shots\": 4}")->Fingerprint());
  EXPECT_NE(task->Fingerprint(), MakeFacts("{\"values\": 9}")->Fingerprint());
}

TEST(Facts, BadInputIsNamed) {
  const auto make = [](const std::string& json) -> std::string {
    try {
      MakeFacts(json);
    } catch (const UserError& error) {
      return error.what();
    }
    return "no error";
  };
  EXPECT_THAT(make("{\"shot\": 1}"), HasSubstr("\"shots\""));
  EXPECT_THAT(make("{\"shots\": -1}"), HasSubstr("\"shots\""));
  EXPECT_THAT(make("{\"values\": 4}"), HasSubstr("from 5"));
  EXPECT_THAT(make("{\"entities\": 1}"), HasSubstr("from 2"));
  EXPECT_THAT(make("{\"subjects\": 4096, \"entities\": 4096}"),
              HasSubstr("1048576"));
  EXPECT_THAT(make("{\"held_out\": 0.9}"), HasSubstr("held_out"));
  EXPECT_THAT(make("{\"question_share\": 2}"), HasSubstr("question_share"));
  EXPECT_THAT(make("{\"train_length\": 14}"), HasSubstr("possible is 15"));
  const auto task = MakeFacts("");
  const FactsWorld world({});
  EXPECT_THROW(task->Evaluate(Knows(world, {}), Options(13, 1)), UserError);
}

}  // namespace
}  // namespace rattn
