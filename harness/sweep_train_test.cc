// Sweeps that train: products, dependencies, kills. Models of a few steps.
#include <gmock/gmock.h>

#include <chrono>
#include <thread>

#include "harness/program_test_util.h"

namespace rattn {
namespace {

using ::testing::HasSubstr;

std::vector<std::string> Sweep(const std::string& run) {
  return {
      "sweep",     "smoke",    "--out",  run,        "--filter",
      "kind=eval", "--filter", "seed=0", "--filter", "variant=swa,rattention"};
}
constexpr size_t kTrain = 2, kEval = 4;

Environment Cache(const TemporaryFolder& folder, const char* name = "cache") {
  return {{"RATTN_CACHE", folder / name}};
}

class SweepTrain : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!HasModelLayer()) GTEST_SKIP() << "built without LibTorch";
  }
};

// Metrics that are a function of the config alone.
Json Deterministic(const Json& cell) {
  Json kept = {{"axes", cell["axes"]}, {"status", cell["status"]}};
  for (const Json& metric : cell["metrics"]) {
    const std::string unit = metric["unit"];
    if (unit != "s" && unit != "tokens/s") kept["metrics"].push_back(metric);
  }
  return kept;
}

void ExpectSame(const std::map<std::string, Json>& got,
                const std::map<std::string, Json>& want) {
  ASSERT_EQ(got.size(), want.size());
  for (const auto& [id, cell] : want) {
    ASSERT_TRUE(got.contains(id));
    EXPECT_EQ(Deterministic(got.at(id)), Deterministic(cell));
  }
}

TEST_F(SweepTrain, ProductsAreReusedAndKillsLoseNothing) {
  const TemporaryFolder folder;
  const std::string whole = folder / "whole";
  const Ended first = RunProgram(Sweep(whole), Cache(folder));
  ASSERT_EQ(first.exit_code, 0) << first.out << first.err;
  const auto cells = CellsOf(whole);
  ASSERT_EQ(cells.size(), kTrain + kEval);

  // Another run, the same cache: trained models are found.
  const std::string other = folder / "other";
  ASSERT_EQ(RunProgram(Sweep(other), Cache(folder)).exit_code, 0);
  ExpectSame(CellsOf(other), cells);
  for (const auto& [id, cell] : CellsOf(other)) {
    if (cell["kind"] == "train") {
      EXPECT_EQ(cell["detail"]["reused"], true);
    }
  }

  // Another cache, killed on the way and repeated.
  const std::string killed = folder / "killed";
  const Environment cold = Cache(folder, "cold");
  {
    Program program(Sweep(killed), cold);
    for (int i = 0; i < 6000 && CellsOf(killed).size() < 3; ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    program.Signal(SIGKILL);
    EXPECT_EQ(program.Wait().signal, SIGKILL);
  }
  const Ended again = RunProgram(Sweep(killed), cold);
  ASSERT_EQ(again.exit_code, 0) << again.out << again.err;
  ExpectSame(CellsOf(killed), cells);
}

TEST_F(SweepTrain, AFailedTrainingSkipsItsEvaluations) {
  const TemporaryFolder folder;
  const std::string run = folder / "run";
  Environment environment = Cache(folder);
  environment.emplace_back("RATTN_TEST_CRASH",
                           "train model=tiny-recall pattern=LL variant=swa:6");
  const Ended ended = RunProgram(Sweep(run), environment);
  EXPECT_EQ(ended.exit_code, 1);
  auto count = CountStatus(CellsOf(run));
  EXPECT_EQ(count["failed"], 1);
  EXPECT_EQ(count["skipped"], 2);
  EXPECT_EQ(count["done"], 3);
  for (const auto& [id, cell] : CellsOf(run)) {
    if (cell["status"] != "skipped") continue;
    EXPECT_THAT(cell["reason"].get<std::string>(), HasSubstr("SIGABRT"));
  }
  std::vector<std::string> retry = Sweep(run);
  retry.push_back("--retry-failed");
  EXPECT_EQ(RunProgram(retry, Cache(folder)).exit_code, 0);
  EXPECT_EQ(CountStatus(CellsOf(run))["done"], 6);
}

TEST_F(SweepTrain, TrainEvalAndGenerateVerbs) {
  const TemporaryFolder folder;
  const std::string checkpoint = folder / "model.safetensors";
  const std::vector<std::string> model = {
      "--model",   "tiny-recall", "--task",   "two_hop",
      "--variant", "rattention",  "--window", "4",
      "--steps",   "3",           "--batch",  "2"};
  std::vector<std::string> train = {"train", "--checkpoint", checkpoint};
  train.insert(train.end(), model.begin(), model.end());
  const Ended trained = RunProgram(train, Cache(folder));
  ASSERT_EQ(trained.exit_code, 0) << trained.err;
  EXPECT_THAT(trained.out, HasSubstr("loss"));
  const Ended scored =
      RunProgram({"eval", "--checkpoint", checkpoint, "--task", "two_hop",
                  "--length", "56,112", "--samples", "8", "--log-samples",
                  folder / "samples.jsonl", "--json"},
                 Cache(folder));
  ASSERT_EQ(scored.exit_code, 0) << scored.err;
  const Json scores = Json::parse(scored.out);
  ASSERT_EQ(scores.size(), 2u);
  // Named as what the checkpoint holds, not as defaults of flags.
  EXPECT_EQ(scores[0]["axes"]["variant"], "rattention");
  EXPECT_EQ(scores[0]["axes"]["window_keys"], 4);
  EXPECT_EQ(scores[0]["axes"]["steps"], 3);
  const std::vector<std::string> eval = {"eval", "--checkpoint", checkpoint};
  const auto refused = [&](std::vector<std::string> more) {
    more.insert(more.begin(), eval.begin(), eval.end());
    return RunProgram(more, Cache(folder));
  };
  const Ended flag = refused({"--variant", "full"});
  EXPECT_EQ(flag.exit_code, 2);
  EXPECT_THAT(flag.err, HasSubstr("cannot be given with --checkpoint"));
  const Ended task = refused({"--task", "ruler"});
  EXPECT_EQ(task.exit_code, 2);
  EXPECT_THAT(task.err, HasSubstr("trained on two_hop with 48 tokens"));
  EXPECT_FALSE(FileText(folder / "samples.jsonl").empty());
  const Ended generated =
      RunProgram({"generate", "--checkpoint", checkpoint, "--tokens", "1,2,3",
                  "--max-new", "5", "--json"});
  ASSERT_EQ(generated.exit_code, 0) << generated.err;
  EXPECT_EQ(Json::parse(generated.out)["tokens"].size(), 5u);
}

TEST_F(SweepTrain, DamagedProductsAreTrainedAgain) {
  const TemporaryFolder folder;
  const std::vector<std::string> train = {
      "train",   "--model", "tiny-recall", "--task", "two_hop",
      "--steps", "2",       "--batch",     "2",      "--json"};
  const Ended first = RunProgram(train, Cache(folder));
  ASSERT_EQ(first.exit_code, 0) << first.err;
  const std::string product =
      folder / ("cache/products/" +
                Json::parse(first.out)["detail"]["product"].get<std::string>());
  std::filesystem::resize_file(product + "/checkpoint.safetensors", 100);
  const Ended again = RunProgram(train, Cache(folder));
  ASSERT_EQ(again.exit_code, 0) << again.err;
  EXPECT_EQ(Json::parse(again.out)["detail"]["reused"], false);
  std::ofstream(product + "/result.json") << "";
  EXPECT_EQ(RunProgram(train, Cache(folder)).exit_code, 0);
}

TEST_F(SweepTrain, WhatCannotBeTrainedIsRefusedBeforeItStarts) {
  const TemporaryFolder folder;
  const auto train = [&](std::vector<std::string> more) {
    more.insert(more.begin(), {"train", "--model", "tiny-recall", "--task",
                               "two_hop", "--steps", "1"});
    return RunProgram(more, Cache(folder));
  };
  const Ended threads = train({"--threads", "1000000"});
  EXPECT_EQ(threads.exit_code, 2);
  EXPECT_THAT(threads.err, HasSubstr("threads must be 1024 or fewer"));
  const Ended batch = train({"--batch", "1000000000"});
  EXPECT_EQ(batch.exit_code, 2);
  EXPECT_THAT(batch.err, HasSubstr("lower the batch"));
  const Ended target = train({"--checkpoint", folder.path()});
  EXPECT_EQ(target.exit_code, 2);
  EXPECT_THAT(target.err, HasSubstr("is a folder"));
}

}  // namespace
}  // namespace rattn
