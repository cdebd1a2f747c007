// Sweeps as processes: kills, crashes, locks, resume. Kernel cells only, so
// that the model layer is not needed (sweep_train_test.cc has the others).
#include <gmock/gmock.h>

#include <algorithm>
#include <chrono>
#include <thread>

#include "harness/program_test_util.h"
#include "models/source_folder.h"

namespace rattn {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr int kKernelCells = 12;

std::vector<std::string> Sweep(const std::string& run,
                               std::vector<std::string> more = {}) {
  std::vector<std::string> arguments = {"sweep", "smoke",    "--out",
                                        run,     "--filter", "kind=kernel"};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return arguments;
}

Environment Cache(const TemporaryFolder& folder) {
  return {{"RATTN_CACHE", folder / "cache"}};
}

Environment Crashing(const TemporaryFolder& folder, const std::string& wish) {
  Environment environment = Cache(folder);
  environment.emplace_back("RATTN_TEST_CRASH", wish);
  return environment;
}

template <typename Condition>
bool WaitUntil(const Condition& condition) {
  for (int i = 0; i < 6000; ++i) {
    if (condition()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return false;
}

// What two runs must agree on: everything but times, memory and noise.
Json Deterministic(const Json& cell) {
  Json kept = cell;
  kept.erase("stats");
  kept.erase("detail");
  kept.erase("metrics");
  return kept;
}

TEST(Sweep, RunsOnceAndThenHasNothingToDo) {
  const TemporaryFolder folder;
  const std::string run = folder / "run";
  const Ended first = RunProgram(Sweep(run), Cache(folder));
  ASSERT_EQ(first.exit_code, 0) << first.out << first.err;
  const auto cells = CellsOf(run);
  EXPECT_EQ(CountStatus(cells)["done"], kKernelCells);
  for (const auto& [id, cell] : cells) {
    EXPECT_EQ(cell["id"], id);
    EXPECT_TRUE(cell["check"]["passed"].get<bool>());
    EXPECT_TRUE(std::filesystem::exists(
        run + "/" + cell["detail"]["samples_file"].get<std::string>()));
  }
  const Json facts = Json::parse(FileText(run + "/run.json"));
  EXPECT_FALSE(facts["machine"]["name"].get<std::string>().empty());
  EXPECT_EQ(facts["config"]["name"], "smoke");
  const Ended second = RunProgram(Sweep(run), Cache(folder));
  EXPECT_EQ(second.exit_code, 0);
  EXPECT_THAT(second.out, HasSubstr("; 0 run now"));
  EXPECT_EQ(CellsOf(run), cells);
}

TEST(Sweep, AKilledSweepIsFinishedByTheSameCommand) {
  const TemporaryFolder folder;
  const std::string whole = folder / "whole", killed = folder / "killed";
  ASSERT_EQ(RunProgram(Sweep(whole), Cache(folder)).exit_code, 0);
  {
    Program program(Sweep(killed), Cache(folder));
    ASSERT_TRUE(WaitUntil([&] { return CellsOf(killed).size() >= 3; }));
    program.Signal(SIGKILL);
    EXPECT_EQ(program.Wait().signal, SIGKILL);
  }
  // A half-written file of the killed process must not stay or count.
  std::ofstream(killed + "/cells/x.json.1.tmp") << "{\"id\": \"tru";
  const auto before = CellsOf(killed);
  ASSERT_LT(before.size(), static_cast<size_t>(kKernelCells));
  const Ended again = RunProgram(Sweep(killed), Cache(folder));
  ASSERT_EQ(again.exit_code, 0) << again.err;
  const auto resumed = CellsOf(killed), uninterrupted = CellsOf(whole);
  ASSERT_EQ(resumed.size(), uninterrupted.size());
  for (const auto& [id, cell] : uninterrupted) {
    ASSERT_TRUE(resumed.contains(id));
    EXPECT_EQ(Deterministic(resumed.at(id)), Deterministic(cell));
  }
  for (const auto& [id, cell] : before) EXPECT_EQ(resumed.at(id), cell);
  EXPECT_FALSE(std::filesystem::exists(killed + "/cells/x.json.1.tmp"));
}

TEST(Sweep, ACrashFailsItsCellAlone) {
  const TemporaryFolder folder;
  const std::string run = folder / "run";
  const std::string wish = "variant=swa W=16 phase=train:11";
  const Ended ended = RunProgram(Sweep(run), Crashing(folder, wish));
  EXPECT_EQ(ended.exit_code, 1);
  EXPECT_THAT(ended.out, HasSubstr("SIGSEGV"));
  auto cells = CellsOf(run);
  EXPECT_EQ(CountStatus(cells)["done"], kKernelCells - 1);
  EXPECT_EQ(CountStatus(cells)["failed"], 1);
  // It stays failed until it is asked for.
  EXPECT_THAT(RunProgram(Sweep(run), Cache(folder)).out,
              HasSubstr("; 0 run now"));
  const Ended retried =
      RunProgram(Sweep(run, {"--retry-failed"}), Cache(folder));
  EXPECT_EQ(retried.exit_code, 0) << retried.out;
  EXPECT_THAT(retried.out, HasSubstr("; 1 run now"));
}

TEST(Sweep, AHangEndsAtTheTimeLimit) {
  const TemporaryFolder folder;
  Json config = Json::parse(FileText(SourceFolder() / "configs/smoke.json"));
  config["time_limit"] = 10;
  std::ofstream(folder / "limit.json") << config.dump();
  const std::string run = folder / "run";
  const Ended ended = RunProgram(
      {"sweep", folder / "limit.json", "--out", run, "--filter", "kind=kernel",
       "--filter", "variant=swa", "--filter", "phase=decode,forward"},
      Crashing(folder, "phase=decode:0"));
  EXPECT_EQ(ended.exit_code, 1);
  EXPECT_THAT(ended.out, HasSubstr("time limit of 10 s"));
  EXPECT_EQ(CountStatus(CellsOf(run))["done"], 1);
}

TEST(Sweep, TwoOnOneFolderRefuse) {
  const TemporaryFolder folder;
  const std::string run = folder / "run";
  Program first(Sweep(run), Crashing(folder, "variant=full:0"));
  ASSERT_TRUE(
      WaitUntil([&] { return std::filesystem::exists(run + "/run.json"); }));
  const Ended second = RunProgram(Sweep(run), Cache(folder));
  EXPECT_EQ(second.exit_code, 1);
  EXPECT_THAT(second.err, HasSubstr("another sweep"));
  first.Signal(SIGKILL);
  first.Wait();
}

TEST(Sweep, CtrlCKeepsWhatIsDone) {
  const TemporaryFolder folder;
  const std::string run = folder / "run";
  Program program(Sweep(run), Cache(folder));
  ASSERT_TRUE(WaitUntil([&] { return CellsOf(run).size() >= 2; }));
  program.Signal(SIGINT);
  const Ended ended = program.Wait();
  EXPECT_EQ(ended.signal, 0);
  EXPECT_EQ(ended.exit_code, 1);
  EXPECT_THAT(ended.err, HasSubstr("interrupted"));
  const auto kept = CellsOf(run);
  EXPECT_GE(kept.size(), 2u);
  EXPECT_EQ(CountStatus(kept)["failed"], 0);
  EXPECT_EQ(RunProgram(Sweep(run), Cache(folder)).exit_code, 0);
  EXPECT_EQ(CellsOf(run).size(), static_cast<size_t>(kKernelCells));
}

TEST(Sweep, CellsThatTheConfigNoLongerAsksForStepAside) {
  const TemporaryFolder folder;
  const std::string run = folder / "run";
  const std::vector<std::string> one = {"--filter", "phase=forward"};
  ASSERT_EQ(RunProgram(Sweep(run, one), Cache(folder)).exit_code, 0);
  const auto before = CellsOf(run);
  ASSERT_EQ(before.size(), 3u);
  std::vector<std::string> changed = one;
  changed.insert(changed.end(), {"--set", "context=80"});
  ASSERT_EQ(RunProgram(Sweep(run, changed), Cache(folder)).exit_code, 0);
  EXPECT_EQ(CellsOf(run).size(), 3u);
  EXPECT_FALSE(CellsOf(run).contains(before.begin()->first));
  const Ended back = RunProgram(Sweep(run, one), Cache(folder));
  EXPECT_THAT(back.out, HasSubstr("; 0 run now"));
  EXPECT_EQ(CellsOf(run), before);
}

TEST(Sweep, TheReportIsOfTheCellsInTheFolder) {
  const TemporaryFolder folder;
  const std::string run = folder / "run";
  const auto sweep = [&](std::vector<std::string> more) {
    more.insert(more.end(), {"--filter", "phase=forward"});
    return RunProgram(Sweep(run, more), Cache(folder));
  };
  const auto reported = [&] {
    return Json::parse(FileText(run + "/report.json"))["cells"]["done"];
  };
  ASSERT_EQ(sweep({"--filter", "variant=swa"}).exit_code, 0);
  EXPECT_EQ(reported(), 1);
  ASSERT_EQ(sweep({"--no-report"}).exit_code, 0);
  EXPECT_EQ(reported(), 1);
  const Json before = Json::parse(FileText(run + "/run.json"));
  ASSERT_EQ(sweep({}).exit_code, 0);
  EXPECT_EQ(reported(), 3);
  // A session that ran nothing leaves no mark on what made the cells.
  const Json after = Json::parse(FileText(run + "/run.json"));
  EXPECT_EQ(after["sessions"], before["sessions"]);
  EXPECT_EQ(after["sessions"].size(), 2u);
  EXPECT_EQ(after["started"], before["started"]);
}

TEST(Sweep, AHalfValidCellIsRunAgain) {
  const TemporaryFolder folder;
  const std::string run = folder / "run";
  const std::vector<std::string> one = {"--filter", "phase=forward", "--filter",
                                        "variant=full", "--no-report"};
  ASSERT_EQ(RunProgram(Sweep(run, one), Cache(folder)).exit_code, 0);
  const std::string id = CellsOf(run).begin()->first;
  std::ofstream(run + "/cells/" + id + ".json") << R"({"status": "done"})";
  ASSERT_EQ(RunProgram(Sweep(run, one), Cache(folder)).exit_code, 0);
  const Json cell = CellsOf(run).at(id);
  EXPECT_EQ(cell["id"], id);
  EXPECT_FALSE(cell["detail"]["made_by"]["isa"].is_null());
}

TEST(Sweep, AnotherSweepsFolderIsRefused) {
  const TemporaryFolder folder;
  std::filesystem::create_directories(folder / "run");
  std::ofstream(folder / "run/run.json") << R"({"name": "other"})";
  const Ended ended = RunProgram(Sweep(folder / "run"), Cache(folder));
  EXPECT_EQ(ended.exit_code, 2);
  EXPECT_THAT(ended.err, HasSubstr("holds the run of sweep 'other'"));
}

TEST(Sweep, AFullDiskIsOneLine) {
  const TemporaryFolder folder;
  std::filesystem::create_directories(folder / "run/cells");
  // A folder in the place of a result cannot be replaced by a file.
  const Ended plan =
      RunProgram({"plan", "smoke", "--filter", "kind=kernel", "--filter",
                  "variant=full", "--filter", "phase=forward", "--json"});
  const std::string id = Json::parse(plan.out)["cells"][0]["id"];
  std::filesystem::create_directories(folder / ("run/cells/" + id + ".json/x"));
  const Ended ended = RunProgram(
      Sweep(folder / "run", {"--filter", "variant=full"}), Cache(folder));
  EXPECT_EQ(ended.exit_code, 1);
  EXPECT_THAT(ended.err, HasSubstr("rattn: cannot write"));
}

}  // namespace
}  // namespace rattn
