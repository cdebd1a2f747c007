#include "tasks/ruler.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <set>

#include "models/error.h"
#include "tasks/fake_model.h"
#include "tasks/params.h"
#include "tasks/ruler_solver.h"

namespace rattn {
namespace {

using ::testing::HasSubstr;
using ::testing::UnorderedElementsAreArray;

std::unique_ptr<RulerTask> Make(const std::string& name,
                                const std::string& params = "") {
  auto task = name == "ruler" ? MakeRuler(params) : MakeRulerTask(name, params);
  return std::unique_ptr<RulerTask>(static_cast<RulerTask*>(task.release()));
}

std::vector<std::string> Names() {
  std::vector<std::string> names;
  for (const RulerKind& kind : RulerKinds()) names.emplace_back(kind.name);
  return names;
}

FakeModel Oracle(const RulerTask& task) {
  return FakeModel::Certain(
      task.vocab_size(), [solver = RulerSolver({})](FakeModel::Prefix prefix) {
        return solver.Next(prefix);
      });
}

EvalOptions Options(int64_t length, int64_t samples) {
  return {.length = length,
          .samples = samples,
          .seed = 5,
          .batch = 16,
          .progress = {}};
}

std::string ErrorOf(const std::function<void()>& call) {
  try {
    call();
  } catch (const UserError& error) {
    return error.what();
  }
  return "no error";
}

class RulerKindTest : public ::testing::TestWithParam<std::string> {};

TEST_P(RulerKindTest, TextsHaveExactLengthAndRightAnswers) {
  const auto task = Make(GetParam());
  const RulerMember& member = task->members()[0];
  const int64_t least = member.generator->LeastLength(1);
  const RulerSolver solver({});
  for (const int64_t length : {least, least + 1, int64_t{64}, int64_t{257}}) {
    if (length < least) continue;
    for (int64_t index = 0; index < 50; ++index) {
      const RulerText text = task->EvalText(member, 1, index, length);
      ASSERT_EQ(text.questions.size(), 1u);
      const RulerQuestion& question = text.questions[0];
      EXPECT_EQ(text.haystack.size() + question.prompt.size() +
                    question.answer.size(),
                static_cast<size_t>(length));
      Tokens prompt = text.haystack;
      prompt.insert(prompt.end(), question.prompt.begin(),
                    question.prompt.end());
      size_t given = 0;
      const Tokens answer = solver.Answer(prompt, &given);
      EXPECT_EQ(given, 0u);
      EXPECT_THAT(answer, UnorderedElementsAreArray(question.answer))
          << task->Show(1, index, length);
      EXPECT_EQ(RulerScore(answer, question.references, false), 1);
      EXPECT_LT(*std::max_element(prompt.begin(), prompt.end()),
                task->vocab_size());
    }
  }
}

TEST_P(RulerKindTest, TooShortLengthNamesTheLeast) {
  const auto task = Make(GetParam());
  const int64_t least = task->members()[0].generator->LeastLength(1);
  for (const int64_t length : {least - 1, int64_t{1}, int64_t{-4}}) {
    EXPECT_THAT(
        ErrorOf([&] { task->Evaluate(Oracle(*task), Options(length, 1)); }),
        HasSubstr(fmt::format("least possible is {}", least)));
  }
  EXPECT_THAT(ErrorOf([&] { Make(GetParam(), "{\"train_length\": 3}"); }),
              HasSubstr(fmt::format("least possible is {}", least)));
}

TEST_P(RulerKindTest, OracleScoresHundredInEveryWay) {
  for (const char* scoring : {"greedy", "generate", "teacher"}) {
    const auto task =
        Make(GetParam(), fmt::format("{{\"scoring\": \"{}\"}}", scoring));
    const EvalResult result = task->Evaluate(Oracle(*task), Options(0, 20));
    ASSERT_EQ(result.scores.size(), 2u);
    EXPECT_EQ(result.scores[0].key, "score");
    EXPECT_EQ(result.scores[1].key, "score." + GetParam());
    EXPECT_EQ(result.scores[0].value, 100) << scoring;
    EXPECT_EQ(result.scores[1].n, 20);
    const Json sample = Json::parse(result.sample_jsonl.at(3));
    EXPECT_EQ(sample["score"], 1.0);
    EXPECT_EQ(sample["length"], 64);
    EXPECT_EQ(sample["references"].size() > 0, true);
  }
}

// Answers of the right kind of token, drawn blindly.
TEST_P(RulerKindTest, ChanceIsWhatGuessingGives) {
  const auto task = Make(GetParam());
  const RulerMember& member = task->members()[0];
  const RulerSolver solver({});
  const RulerVocab& vocab = task->vocab();
  PhiloxSequence random(3, 3);
  double sum = 0;
  constexpr int64_t kSamples = 20000;
  for (int64_t i = 0; i < kSamples; ++i) {
    const RulerQuestion question =
        task->EvalText(member, 2, i, 64).questions[0];
    Tokens guess = question.answer;
    for (int32_t& token : guess) {
      const int32_t like = question.references[0][0];
      if (solver.IsValue(token) && solver.IsValue(like)) {
        token = vocab.Value(random.Below(vocab.values()));
      } else if (solver.IsWord(token)) {
        token = vocab.Word(random.Below(vocab.words()));
      } else if (solver.IsKey(token) && solver.IsKey(like)) {
        token = vocab.Key(random.Below(vocab.keys()));
      }
    }
    sum += RulerScore(guess, question.references,
                      member.generator->any_reference());
  }
  EXPECT_NEAR(sum / kSamples, member.generator->Chance(), .006);
}

TEST_P(RulerKindTest, TrainingRowsAskSeveralQuestionsRightly) {
  const auto task = Make(GetParam());
  const RulerSolver solver({});
  const Batch batch = task->TrainBatch(2, 60);
  EXPECT_EQ(batch.length, 64);
  const bool counts = GetParam() == "fwe";  // equal counts have no order
  int64_t labels = 0, right = 0;
  for (int64_t row = 0; row < batch.rows; ++row) {
    const int32_t* tokens = batch.tokens.data() + row * batch.length;
    for (int64_t at = 0; at < batch.length; ++at) {
      const int32_t target = batch.targets[row * batch.length + at];
      if (target == kNoTarget) continue;
      ++labels;
      EXPECT_EQ(target, tokens[at + 1]);
      right += solver.Next({tokens, static_cast<size_t>(at + 1)}) == target;
    }
  }
  EXPECT_GE(right, counts ? labels * 2 / 3 : labels);
  EXPECT_EQ(task->TrainBatch(2, 60).tokens, batch.tokens);
  EXPECT_NE(task->TrainBatch(3, 60).tokens, batch.tokens);
}

INSTANTIATE_TEST_SUITE_P(Kinds, RulerKindTest, ::testing::ValuesIn(Names()),
                         [](const auto& info) { return info.param; });

TEST(Ruler, HasRulersTasks) {
  EXPECT_EQ(Names(), (std::vector<std::string>{
                         "niah_single_1", "niah_single_2", "niah_single_3",
                         "niah_multikey_1", "niah_multikey_2",
                         "niah_multikey_3", "niah_multivalue",
                         "niah_multiquery", "vt", "cwe", "fwe", "qa"}));
}

TEST(Ruler, DepthIsExact) {
  const RulerSolver solver({});
  for (const double depth : {0.0, 12.5, 50.0, 99.0, 100.0}) {
    const auto single =
        Make("niah_single_2", fmt::format("{{\"depth\": {}}}", depth));
    const auto distractors =
        Make("niah_multikey_2", fmt::format("{{\"depth\": {}}}", depth));
    for (int64_t index = 0; index < 20; ++index) {
      // 64 tokens: 59 words, the needle's 2, the question's 2, the answer.
      RulerText text = single->EvalText(single->members()[0], 0, index, 64);
      const auto key = std::find_if(text.haystack.begin(), text.haystack.end(),
                                    [&](int32_t t) { return solver.IsKey(t); });
      const auto place = static_cast<int64_t>(59 * depth / 100);
      EXPECT_EQ(key - text.haystack.begin(), place);
      EXPECT_DOUBLE_EQ(*text.questions[0].depth, 100 * place / 59.0);
      // 65 tokens: 30 distractors and the needle.
      text = distractors->EvalText(distractors->members()[0], 0, index, 65);
      ASSERT_EQ(text.haystack.size(), 62u);
      const int32_t asked = text.questions[0].prompt[1];
      const auto found =
          std::find(text.haystack.begin(), text.haystack.end(), asked);
      EXPECT_EQ((found - text.haystack.begin()) / 2,
                static_cast<int64_t>(30 * depth / 100));
    }
  }
}

TEST(Ruler, UniformDepthCoversTheText) {
  const auto task = Make("niah_single_1");
  std::set<int64_t> tenths;
  for (int64_t index = 0; index < 300; ++index) {
    tenths.insert(static_cast<int64_t>(
        *task->EvalText(task->members()[0], 0, index, 640).questions[0].depth /
        10));
  }
  EXPECT_GE(tenths.size(), 10u);
}

TEST(Ruler, ParametersControlKeysValuesQueriesAndHops) {
  const auto niah = Make("niah_multikey_1",
                         "{\"keys\": 5, \"values\": 3, \"queries\": 2, "
                         "\"value_tokens\": 2}");
  const RulerText text = niah->EvalText(niah->members()[0], 0, 0, 100);
  EXPECT_EQ(text.questions[0].references.size(), 6u);
  EXPECT_EQ(text.questions[0].references[0].size(), 2u);
  const RulerSolver solver({});
  EXPECT_EQ(std::count_if(text.haystack.begin(), text.haystack.end(),
                          [&](int32_t t) { return solver.IsKey(t); }),
            15);
  EXPECT_EQ(niah->Evaluate(Oracle(*niah), Options(100, 8)).scores[0].value,
            100);
  const auto trace = Make("vt", "{\"chains\": 3, \"hops\": 4}");
  EXPECT_EQ(trace->EvalText(trace->members()[0], 0, 0, 64)
                .questions[0]
                .references.size(),
            5u);
  EXPECT_EQ(trace->Evaluate(Oracle(*trace), Options(64, 8)).scores[0].value,
            100);
  const auto qa = Make("qa", "{\"facts\": 3, \"answers\": 2}");
  EXPECT_EQ(qa->Evaluate(Oracle(*qa), Options(128, 8)).scores[0].value, 100);
}

TEST(Ruler, AllAndAnyReferences) {
  const std::vector<Tokens> references = {{1, 2}, {3}, {4}, {9}};
  EXPECT_EQ(RulerScore({7, 1, 2, 3}, references, false), 0.5);
  EXPECT_EQ(RulerScore({7, 1, 5, 2}, references, false), 0);
  EXPECT_EQ(RulerScore({3}, references, true), 1);
  EXPECT_EQ(RulerScore({2, 1}, references, true), 0);
  EXPECT_EQ(RulerScore({}, references, false), 0);
}

// Errs at the first answer token and is lost after an error.
TEST(Ruler, TeacherForgivesWhatGreedyDoesNot) {
  for (const auto& [scoring, expected] :
       {std::pair{"greedy", 0.0}, {"generate", 0.0}, {"teacher", 200.0 / 3}}) {
    const auto task =
        Make("vt", fmt::format("{{\"scoring\": \"{}\"}}", scoring));
    const RulerSolver solver({});
    const auto model = FakeModel::Certain(
        task->vocab_size(), [&](FakeModel::Prefix prefix) -> int32_t {
          size_t given = 0;
          const Tokens answer = solver.Answer(prefix, &given);
          return given > 0 && prefix.back() == answer[given - 1]
                     ? answer[given]
                     : RulerVocab::kPad;
        });
    EXPECT_NEAR(task->Evaluate(model, Options(0, 10)).scores[0].value, expected,
                1e-9)
        << scoring;
  }
}

// Whatever a model says, right or wrong, after right or wrong tokens.
TEST(Ruler, GreedyIsWhatGenerationGives) {
  const auto greedy = Make("ruler");
  const auto generate = Make("ruler", "{\"scoring\": \"generate\"}");
  const RulerSolver solver({});
  const auto model = FakeModel::Certain(
      greedy->vocab_size(), [&](FakeModel::Prefix prefix) -> int32_t {
        uint64_t mixed = 0;
        for (const int32_t token : prefix) mixed = Philox(mixed, 1).Bits(token);
        return mixed % 3 > 0
                   ? solver.Next(prefix)
                   : RulerVocab::kSpecials + static_cast<int32_t>(mixed % 50);
      });
  const auto a = greedy->Evaluate(model, Options(0, 25));
  const auto b = generate->Evaluate(model, Options(0, 25));
  EXPECT_EQ(a.sample_jsonl, b.sample_jsonl);
  EXPECT_GT(a.scores[0].value, 20);
  EXPECT_LT(a.scores[0].value, 90);
}

TEST(Ruler, MixtureScoresEveryTask) {
  const auto task = Make("ruler");
  const EvalResult result = task->Evaluate(Oracle(*task), Options(128, 5));
  ASSERT_EQ(result.scores.size(), 13u);
  double chance = 0;
  for (size_t i = 1; i < 13; ++i) {
    EXPECT_EQ(result.scores[i].value, 100) << result.scores[i].key;
    chance += result.scores[i].chance / 12;
  }
  EXPECT_EQ(result.scores[0].key, "score");
  EXPECT_EQ(result.scores[0].n, 60);
  EXPECT_NEAR(result.scores[0].chance, chance, 1e-9);
  EXPECT_EQ(result.sample_jsonl.size(), 60u);
}

TEST(Ruler, MixtureTrainsByWeight) {
  const auto task = Make("ruler",
                         "{\"tasks\": [\"vt\", \"cwe\", \"qa\"], \"weights\": "
                         "{\"vt\": 0, \"cwe\": 3}}");
  const Batch batch = task->TrainBatch(0, 800);
  int64_t common = 0;
  for (int64_t row = 0; row < batch.rows; ++row) {
    const auto begin = batch.tokens.begin() + row * batch.length;
    const auto has = [&](int32_t token) {
      return std::find(begin, begin + batch.length, token) !=
             begin + batch.length;
    };
    EXPECT_FALSE(has(RulerVocab::kTrace));
    EXPECT_NE(has(RulerVocab::kCommon), has(RulerVocab::kAbout));
    common += has(RulerVocab::kCommon);
  }
  EXPECT_NEAR(static_cast<double>(common) / 800, .75, .06);
}

TEST(Ruler, FingerprintIsOfTheTrainingData) {
  const auto print = [](const char* params) {
    return Make("ruler", params)->Fingerprint();
  };
  const std::string base = print("");
  EXPECT_EQ(base, print("{\"scoring\": \"teacher\", \"depth\": 50}"));
  EXPECT_NE(base, print("{\"seed\": 1}"));
  EXPECT_NE(base, print("{\"overrides\": {\"vt\": {\"hops\": 1}}}"));
  EXPECT_NE(base, print("{\"tasks\": [\"vt\"]}"));
  EXPECT_NE(base, print("{\"vocabulary\": {\"words\": 20}}"));
}

TEST(Ruler, ProgressStopsTheMixture) {
  const auto task = Make("ruler");
  EvalOptions options = Options(0, 32);
  int64_t calls = 0;
  options.progress = [&](int64_t done, int64_t total) {
    EXPECT_EQ(done, 16 * ++calls);
    EXPECT_EQ(total, 32 * 12);
    return calls < 3;
  };
  const EvalResult result = task->Evaluate(Oracle(*task), options);
  EXPECT_EQ(result.scores[0].n, 48);
  EXPECT_EQ(calls, 3);
}

TEST(Ruler, GoldenSamples) {
  const auto task = Make("ruler");
  EXPECT_EQ(HexHash(task->Show(7, 0, 0) + task->Show(7, 1, 200)),
            "67eee6ffb89ad396");
}

TEST(Ruler, BadInputIsNamed) {
  const auto make = [](const std::string& name, const std::string& json) {
    return ErrorOf([&] { Make(name, json); });
  };
  EXPECT_THAT(make("vt", "{\"hop\": 1}"), HasSubstr("\"hops\""));
  EXPECT_THAT(make("ruler", "{\"overrides\": {\"vt\": {\"hop\": 1}}}"),
              HasSubstr("overrides.vt.hop"));
  EXPECT_THAT(make("ruler", "{\"overrides\": {\"tv\": {}}}"),
              HasSubstr("\"vt\""));
  EXPECT_THAT(make("ruler", "{\"tasks\": [\"cew\"]}"), HasSubstr("\"cwe\""));
  EXPECT_THAT(make("ruler", "{\"tasks\": [\"vt\", \"vt\"]}"),
              HasSubstr("twice"));
  EXPECT_THAT(make("ruler", "{\"weights\": {\"vt\": -1}}"),
              HasSubstr("weights.vt"));
  EXPECT_THAT(make("ruler", "{\"tasks\": [\"vt\"], \"weights\": {\"vt\": 0}}"),
              HasSubstr("weight above 0"));
  EXPECT_THAT(make("niah_single_1", "{\"queries\": 2}"),
              HasSubstr("\"queries\""));
  EXPECT_THAT(make("niah_single_1", "{\"keys\": 17}"), HasSubstr("to 16"));
  EXPECT_THAT(make("niah_single_1", "{\"haystack\": \"esay\"}"),
              HasSubstr("\"essay\""));
  EXPECT_THAT(make("niah_single_1", "{\"depth\": 101}"), HasSubstr("depth"));
  EXPECT_THAT(make("niah_single_1", "{\"scoring\": \"gredy\"}"),
              HasSubstr("\"greedy\""));
  EXPECT_THAT(make("vt", "{\"chains\": 6}"), HasSubstr("to 5"));
  EXPECT_THAT(make("cwe", "{\"common\": 16}"), HasSubstr("to 15"));
  EXPECT_THAT(make("fwe", "{\"alpha\": 1}"), HasSubstr("alpha"));
  EXPECT_THAT(make("qa", "{\"facts\": 5}"), HasSubstr("to 4"));
  EXPECT_THAT(make("vt", "{\"vocabulary\": {\"keys\": -3}}"),
              HasSubstr("vocabulary.keys"));
  EXPECT_THAT(make("vt", "{\"train_length\": -64}"),
              HasSubstr("least possible"));
}

}  // namespace
}  // namespace rattn
