#include "harness/checkpoint_eval.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "harness/answer_journal.h"
#include "harness/checkpoint_files.h"
#include "harness/checkpoint_metrics.h"
#include "harness/eval_flags.h"
#include "harness/eval_output.h"
#include "harness/program_test_util.h"
#include "models/error.h"
#include "tasks/files/fake_text_model.h"
#include "tasks/ruler_text/small_sources.h"

namespace rattn {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::ThrowsMessage;

constexpr int kQuestions = 10;

double LengthScore(const ScoreRequest& request) {
  return -static_cast<double>(request.context.size()) / 7 -
         request.continuation.back();
}

class CheckpointEvalTest : public testing::Test {
 protected:
  CheckpointEvalTest() {
    sources_.Write("x", "");
    const std::string mmlu = sources_.folder() + "/mmlu/data";
    std::filesystem::create_directories(mmlu + "/dev");
    std::filesystem::create_directories(mmlu + "/test");
    std::string rows;
    for (int i = 0; i < kQuestions; ++i) {
      rows += "Question " + std::to_string(i) + "?,w,x,y,z,B\n";
    }
    sources_.Write("mmlu/data/dev/anatomy_dev.csv", rows);
    sources_.Write("mmlu/data/test/anatomy_test.csv", rows);
    options_.data = sources_.folder();
    options_.tasks = {"mmlu_anatomy"};
    options_.text.model_key = "fake";
    options_.ruler.mode = RulerMode::kFresh;
    options_.ruler.lengths = {2000, 3000};
    options_.ruler.request.samples = 3;
  }

  CheckpointEvalResult Run(AnswerStore* answers = nullptr,
                           int64_t stop_after = -1) {
    options_.text.answers = answers;
    CheckpointEvalEvents events;
    events.progress = [=](const std::string&, size_t, size_t, int64_t done,
                          int64_t) {
      return stop_after < 0 || done < stop_after;
    };
    return CheckpointEval(options_, tokenizer_).Run(model_, events);
  }

  EvalRunFacts Facts() const {
    EvalRunFacts facts;
    facts.checkpoint.folder = "some/model";
    facts.identity = {{"weights", "w"},
                      {"config", "c"},
                      {"tokenizer", "t"},
                      {"overrides", Json::object()}};
    facts.tokenizer = &tokenizer_;
    facts.date = "2026-01-31T12-00-00.000001";
    return facts;
  }

  SmallSources sources_;
  TemporaryFolder folder_;
  ByteTokenizer tokenizer_;
  FakeScoringModel model_{LengthScore, "the answer"};
  CheckpointEvalOptions options_;
};

TEST_F(CheckpointEvalTest, StoppedRunsGoOnWhereTheyWere) {
  options_.text.log_samples = true;
  const CheckpointEvalResult whole = Run();
  const int64_t asked = model_.asked();
  const std::string path = folder_ / "journal.jsonl";
  {
    AnswerJournal journal(path);
    EXPECT_TRUE(Run(&journal, 7).stopped);
  }
  // As kill -9 in the middle of a line leaves it.
  const std::string text = FileText(path);
  std::ofstream(path, std::ios::binary) << text.substr(0, text.size() - 20);
  AnswerJournal journal(path);
  EXPECT_EQ(journal.size(), 6u);
  const int64_t before = model_.asked();
  const CheckpointEvalResult resumed = Run(&journal);
  EXPECT_EQ(model_.asked() - before, asked - 6);
  EXPECT_EQ(resumed.results[0].samples, whole.results[0].samples);
  EXPECT_EQ(resumed.results[0].answered_before, 6);
  EXPECT_EQ(resumed.results[0].metrics[0].estimate.value,
            whole.results[0].metrics[0].estimate.value);
}

// 100 tokens are too few for the second task: known before the first one runs.
TEST_F(CheckpointEvalTest, LengthsAreCheckedBeforeTheModelIsAsked) {
  options_.tasks = {"mmlu_anatomy", "niah_single_1"};
  options_.ruler.lengths = {3000, 100};
  EXPECT_THAT([&] { CheckpointEval(options_, tokenizer_); },
              ThrowsMessage<UserError>(
                  HasSubstr("niah_single_1 does not fit 100 tokens")));
}

TEST_F(CheckpointEvalTest, ShotsAndDocumentsAreCheckedBeforeTheModelIsAsked) {
  const auto evaluate = [&] { CheckpointEval(options_, tokenizer_); };
  options_.text.shots = kQuestions + 1;
  EXPECT_THAT(evaluate, ThrowsMessage<UserError>(
                            HasSubstr("mmlu_anatomy: 11 shots are not")));
  options_.text.shots = kQuestions / 2;
  options_.samples = {{"mmlu_anatomy", {kQuestions}}};
  EXPECT_THAT(evaluate, ThrowsMessage<UserError>(HasSubstr("no document 10")));
}

TEST_F(CheckpointEvalTest, LimitIsACountOrAShareRoundedUp) {
  for (const auto& [limit, expected] :
       {std::pair{"1.0", 1}, {"3", 3}, {"0.25", 3}, {"1000", kQuestions}}) {
    options_.text.limit = ParseLimit(limit);
    EXPECT_EQ(Run().results[0].evaluated, expected) << limit;
  }
  options_.text.limit = 2;
  options_.tasks = {"niah_single_1"};
  EXPECT_EQ(Run().results[0].evaluated, 4) << "two at each length";
}

TEST_F(CheckpointEvalTest, ResultsHaveTheKeysOfLmEvalAndOurs) {
  options_.tasks = {"mmlu_anatomy", "niah_single_1"};
  const CheckpointEvalResult result = Run();
  const Json json = EvalResultsJson(result, Facts());
  for (const char* key :
       {"results", "configs", "versions", "n-shot", "higher_is_better",
        "n-samples", "task_hashes", "config", "git_hash", "date", "model_name",
        "model_name_sanitized", "max_length", "total_evaluation_time_seconds",
        "tokenizer_bos_token", "chat_template", "rattn", "ruler"}) {
    EXPECT_TRUE(json.contains(key)) << key;
  }
  const Json& anatomy = json["results"]["mmlu_anatomy"];
  for (const char* key :
       {"acc,none", "acc_stderr,none", "acc_ci95,none", "alias"}) {
    EXPECT_TRUE(anatomy.contains(key)) << key;
  }
  EXPECT_EQ(anatomy["acc_chance,none"], 0.25);
  EXPECT_EQ(anatomy["made_by"]["weights"], "w");
  EXPECT_TRUE(
      anatomy["made_by"]["data"].contains("mmlu/data/test/anatomy_test.csv"));
  const Json& needle = json["results"]["niah_single_1"];
  EXPECT_TRUE(needle.contains("2000,none")) << needle.dump();
  EXPECT_TRUE(needle.contains("3000_stderr,none"));
  EXPECT_EQ(needle["made_by"]["generator"],
            RulerGeneratorVersion(RulerMode::kFresh));
  EXPECT_EQ(json["ruler"]["mode"], "fresh");
  EXPECT_EQ(json["ruler"]["all_tasks"], false);
  EXPECT_THAT(EvalTables(json, result), HasSubstr("effective length <2"));
}

TEST_F(CheckpointEvalTest, CellsHaveScoresChanceAndCounts) {
  const CheckpointEvalResult result = Run();
  const Json json = EvalResultsJson(result, Facts());
  const auto one = CheckpointMetrics(result, json, "mmlu_anatomy");
  ASSERT_EQ(one.size(), 1u);
  EXPECT_EQ(one[0].key, "acc");
  EXPECT_EQ(one[0].chance, 0.25);
  EXPECT_EQ(one[0].n, kQuestions);
  const Json group = {{"alias", "mmlu"},          {"sample_len", 20},
                      {"acc,none", 0.5},          {"acc_stderr,none", 0.1},
                      {"acc_ci95,none", nullptr}, {"acc_chance,none", 0.25}};
  const auto all =
      CheckpointMetrics(result, {{"groups", {{"mmlu", group}}}}, "mmlu");
  ASSERT_EQ(all.size(), 1u);
  EXPECT_EQ(all[0].value, 0.5);
  EXPECT_EQ(all[0].standard_error, 0.1);
  EXPECT_EQ(all[0].chance, 0.25);
  EXPECT_EQ(all[0].n, 20);
}

// Every task counts the same.
TEST_F(CheckpointEvalTest, CellsOfRulerHaveTheMeanOfItsTasks) {
  options_.tasks = {"niah_single_1", "niah_single_2"};
  options_.ruler.lengths = {3000};
  CheckpointEvalResult result = Run();
  result.results[0].metrics[0].estimate.value = 80;
  result.results[1].metrics[0].estimate.value = 40;
  const auto metrics = CheckpointMetrics(result, Json::object(), "ruler");
  ASSERT_EQ(metrics.size(), 3u);
  EXPECT_EQ(metrics[0].key, "score");
  EXPECT_EQ(metrics[0].value, 60);
  EXPECT_EQ(metrics[1].key, "score.niah_single_1");
  EXPECT_EQ(metrics[1].value, 80);
}

TEST_F(CheckpointEvalTest, FilesAreNamedAsLmEvalNamesThem) {
  options_.text.log_samples = true;
  const CheckpointEvalResult result = Run();
  const EvalRunFacts facts = Facts();
  const Json json = EvalResultsJson(result, facts);
  const std::string folder = folder_ / "out/some__model/";
  EXPECT_EQ(WriteEvalFiles(folder_ / "out", json, result, facts),
            folder + "results_2026-01-31T12-00-00.000001.json");
  const std::string samples = FileText(
      folder + "samples_mmlu_anatomy_2026-01-31T12-00-00.000001.jsonl");
  EXPECT_EQ(std::count(samples.begin(), samples.end(), '\n'), kQuestions);
  EXPECT_EQ(WriteEvalFiles(folder_ / "a/b.json", json, result, facts),
            folder_ / "a/b_2026-01-31T12-00-00.000001.json");
}

TEST_F(CheckpointEvalTest, RulersPredictionsAreFilesThatItScores) {
  options_.text.log_samples = true;
  options_.tasks = {"niah_single_1"};
  const CheckpointEvalResult result = Run();
  const EvalRunFacts facts = Facts();
  WriteEvalFiles(folder_ / "out", EvalResultsJson(result, facts), result,
                 facts);
  const std::string written =
      folder_ / "out/some__model/" + facts.date + "/ruler";
  const auto answers =
      ReadRulerPredictions(written + "/3000/pred/niah_single_1.jsonl");
  ASSERT_EQ(answers.size(), 3u);
  EXPECT_EQ(answers[0].prediction, "the answer");
  const Ended scored = RunProgram({"ruler", "--score", written});
  EXPECT_THAT(scored.out, HasSubstr("niah_single_1")) << scored.err;
  EXPECT_THAT(scored.out, HasSubstr("3000"));
}

TEST_F(CheckpointEvalTest, ConversationsAreForTasksWithQuestions) {
  options_.text.format.system = "Be brief.";
  options_.text.log_samples = true;
  const Json sample = Run().results[0].samples[0];
  EXPECT_THAT(sample["arguments"]["gen_args_0"]["arg_0"].get<std::string>(),
              testing::StartsWith("Be brief.\n\nThe following are"));
  EvalRunFacts facts = Facts();
  facts.format = options_.text.format;
  facts.format.multiturn = true;
  const Json json = EvalResultsJson(Run(), facts);
  EXPECT_EQ(json["system_instruction"], "Be brief.");
  EXPECT_EQ(json["fewshot_as_multiturn"], true);
  EXPECT_EQ(json["chat_template"], nullptr);
  options_.tasks = {"niah_single_1"};
  EXPECT_THAT([&] { Run(); },
              ThrowsMessage<UserError>(HasSubstr("--ruler-wrapper")));
}

TEST_F(CheckpointEvalTest, UnknownTasksNameTheNearest) {
  options_.tasks = {"helaswag"};
  EXPECT_THAT([&] { Run(); }, ThrowsMessage<UserError>(HasSubstr("hellaswag")));
  options_.tasks = {"niah_singel_1"};
  EXPECT_THAT([&] { Run(); },
              ThrowsMessage<UserError>(HasSubstr("niah_single_1")));
  options_.tasks = {"hellaswag"};
  EXPECT_THAT([&] { Run(); },
              ThrowsMessage<UserError>(HasSubstr("hellaswag_val.jsonl")));
}

TEST_F(CheckpointEvalTest, ScoresThatAreNotFiniteFailLoudly) {
  model_ = FakeScoringModel([](const ScoreRequest&) { return std::nan(""); });
  EXPECT_THAT([&] { Run(); }, ThrowsMessage<RunError>(HasSubstr("not finite")));
}

TEST(EvalFlags, SeedsAreLmEvals) {
  EXPECT_THAT(ParseSeeds("7"), ElementsAre(7, 7, 7, 7));
  EXPECT_THAT(ParseSeeds("1,2,3"), ElementsAre(1, 2, 3, 1234));
  EXPECT_THAT(ParseSeeds("1,2,3,4"), ElementsAre(1, 2, 3, 4));
  for (const char* bad : {"", "1,2", "x", "1.5", "-1", "1,2,3,4,5", "1]"}) {
    EXPECT_THROW(ParseSeeds(bad), UserError) << bad;
  }
}

TEST(EvalFlags, LimitsAndGenerationSettings) {
  EXPECT_EQ(ParseLimit("0.5"), 0.5);
  for (const char* bad : {"0", "-1", "x", "1x", "nan", "inf", ""}) {
    EXPECT_THROW(ParseLimit(bad), UserError) << bad;
  }
  const Json expected = {{"max_gen_toks", 8}, {"until", "x"}};
  EXPECT_EQ(ParseGeneration("max_gen_toks=8,until=x"), expected);
  EXPECT_EQ(ParseGeneration(expected.dump()), expected);
  EXPECT_THROW(ParseGeneration("max_gen_toks"), UserError);
  EXPECT_THROW(ParseGeneration("{"), UserError);
}

TEST(EvalFlags, FlagsOfTrainedModelsAreRefused) {
  EXPECT_THAT(
      [] {
        CheckpointSpecOf({}, Json::object({{"model", "m"}, {"steps", 5}}));
      },
      ThrowsMessage<UserError>(HasSubstr("steps is for models that are")));
  EXPECT_THAT(
      [] {
        CheckpointSpecOf({}, Json::object({{"model", "m"}}));
      },
      ThrowsMessage<UserError>(HasSubstr("scripts/get_models")));
}

TEST(EvalFlags, DtypesHaveTwoNamesAndTheCheckpointsOwn) {
  TemporaryFolder folder;
  const auto dtype = [&](const std::string& name, const std::string& config) {
    std::ofstream(folder / "config.json") << config;
    return CheckpointDtype(name, folder.path());
  };
  EXPECT_EQ(dtype("bfloat16", "{}"), "bf16");
  EXPECT_EQ(dtype("float32", R"({"torch_dtype": "bfloat16"})"), "fp32");
  EXPECT_EQ(dtype("auto", R"({"torch_dtype": "bfloat16"})"), "bf16");
  EXPECT_EQ(dtype("auto", R"({"text_config": {"dtype": "bfloat16"}})"), "bf16");
  EXPECT_EQ(dtype("auto", R"({"torch_dtype": "float16"})"), "fp32");
  EXPECT_EQ(dtype("auto", "{}"), "fp32");
  EXPECT_THAT([&] { dtype("int8", "{}"); },
              ThrowsMessage<UserError>(HasSubstr("--dtype int8")));
}

TEST(EvalFlags, TurnsNeedAChatTemplate) {
  EvalFlags flags;
  flags.multiturn = true;
  EXPECT_THAT([&] { CheckpointEvalOptionsOf(flags, Json::object(), {}); },
              ThrowsMessage<UserError>(HasSubstr("--apply-chat-template")));
}

TEST(EvalVerb, UnderscoresAreDashes) {
  TemporaryFolder folder;
  const Ended ended =
      RunProgram({"eval", "--model", folder.path(), "--tasks", "hellaswag",
                  "--num_fewshot=2", "--batch_size", "4", "--output_path",
                  folder / "out"});
  EXPECT_EQ(ended.exit_code, 2);
  EXPECT_THAT(ended.err, HasSubstr("config.json"));
}

TEST(EvalVerb, SweepsSayWhatIsMissing) {
  TemporaryFolder folder;
  const Ended ended =
      RunProgram({"sweep", "eval_window", "--set", "model=" + folder.path(),
                  "--out", folder / "run"});
  EXPECT_EQ(ended.exit_code, 2);
  EXPECT_THAT(ended.err, HasSubstr("scripts/get_models"));
}

}  // namespace
}  // namespace rattn
