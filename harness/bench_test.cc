// What bench makes of its results: baselines, tilings, tuned tile sizes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <functional>

#include "harness/bench_baseline.h"
#include "harness/bench_tilings.h"
#include "harness/machine_tiles.h"
#include "harness/tune.h"
#include "models/error.h"

namespace rattn {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

std::string NewFolder() {
  std::string path = testing::TempDir() + "rattn-bench-XXXXXX";
  EXPECT_NE(mkdtemp(path.data()), nullptr);
  std::filesystem::create_directories(path + "/cells");
  return path;
}

Cell KernelCell(int64_t chunk, int64_t every, int64_t max_seconds = 3) {
  return MakeCell(
      "kernel",
      {{"variant", "rla"},
       {"window_keys", nullptr},
       {"phase", "train"},
       {"context", 8192},
       {"dtype", "bf16"},
       {"backend", "cpu"}},
      {{"chunk", chunk}, {"state_every", every}, {"max_seconds", max_seconds}});
}

// Quartiles 2 % around the median.
CellResult Timed(double seconds, double peak = 100, double kept = 10) {
  CellResult result;
  result.metrics = {{"time", seconds, "s", Better::kLower}};
  result.stats = {{"n", 9},
                  {"median", seconds},
                  {"q1", 0.98 * seconds},
                  {"q3", 1.02 * seconds}};
  result.detail = {{"peak_memory_bytes", peak}, {"kept_state_bytes", kept}};
  return result;
}

std::string FolderWith(const Cell& cell, const CellResult& result) {
  const std::string folder = NewFolder();
  std::ofstream(folder + "/cells/" + cell.id + ".json")
      << CellFileJson(cell, result).dump();
  return folder;
}

TEST(BenchBaseline, MarksWhatIsBeyondBothQuartiles) {
  const BenchBaseline baseline(FolderWith(KernelCell(64, 1), Timed(1)));
  const auto text = [&](double seconds) {
    // Measured for another time: the same work all the same.
    return Describe(*baseline.Compare(KernelCell(64, 1, 5), Timed(seconds)));
  };
  EXPECT_EQ(text(1.23), "SLOWER 1.23x");
  EXPECT_EQ(text(0.5), "faster 2.00x");
  EXPECT_EQ(text(1.03), "1.03x");
  EXPECT_EQ(text(0.97), "0.97x");
}

TEST(BenchBaseline, ComparesOnlyTheSameWork) {
  const BenchBaseline baseline(FolderWith(KernelCell(64, 1), Timed(1)));
  EXPECT_FALSE(baseline.Compare(KernelCell(128, 1), Timed(1)));
  EXPECT_FALSE(
      baseline.Compare(KernelCell(64, 1), CellResult::Skipped("no backend")));
}

TEST(BenchBaseline, RefusesFoldersWithoutTimes) {
  EXPECT_THROW(BenchBaseline("/no/such/folder"), UserError);
  EXPECT_THROW(BenchBaseline(FolderWith(KernelCell(64, 1),
                                        CellResult::Skipped("no backend"))),
               UserError);
}

TEST(BestTilings, ComparesTheFastestWithTheFastestThatKeepsAll) {
  std::vector<ReportCell> cells;
  const auto add = [&](int64_t chunk, int64_t every, const CellResult& result) {
    const Cell cell = KernelCell(chunk, every);
    cells.push_back({cell.id, cell.kind, cell.axes, cell.params, result});
  };
  add(64, 1, Timed(1.5, 100, 40));
  add(128, 1, Timed(1.2, 90, 20));
  EXPECT_THAT(BestTilings({cells[0]}), IsEmpty());
  add(128, 4, Timed(1.0, 81, 5));
  EXPECT_THAT(BestTilings(cells),
              ElementsAre("rla train T 8192 bf16 cpu: best (m, chunk) = "
                          "(4, 128) against m = 1 (1, 128): 1.20 times faster, "
                          "90 % of the peak memory, 25 % of the kept states"));
}

Summary Around(double seconds) {
  return {.n = 9,
          .median = seconds,
          .q1 = 0.98 * seconds,
          .q3 = 1.02 * seconds,
          .min = 0.97 * seconds,
          .mad = 0.02 * seconds};
}

TEST(Tune, WinsOnlyBeyondNoiseAndNowhereSlower) {
  const std::vector<Summary> in_use = {Around(1), Around(2)};
  const TuneScore better = Score(in_use, {Around(0.8), Around(2)});
  EXPECT_TRUE(better.clearly);
  EXPECT_NEAR(better.gain, 1.118, 1e-3);
  EXPECT_FALSE(Score(in_use, {Around(0.98), Around(1.97)}).clearly);
  EXPECT_FALSE(Score(in_use, {Around(0.5), Around(2.2)}).clearly);
  EXPECT_FALSE(Score(in_use, in_use).clearly);
  Summary alone = Around(0.5);
  alone.n = 1;
  EXPECT_FALSE(Score(in_use, {alone, Around(1)}).clearly);
}

TunedMachine Tuned() {
  TunedMachine machine = ThisMachine();
  machine.sizes.tiles = {.forward_rows = 128, .chunk = 64};
  machine.sizes.vectors.state_every = 2;
  return machine;
}

TEST(MachineTiles, ReadsWhatItWrote) {
  const std::string path = NewFolder() + "/tiles.json";
  WriteMachineTiles(path, Tuned());
  EXPECT_EQ(ReadMachineTiles(path, ThisMachine()), Tuned().sizes);
}

TEST(MachineTiles, RefusesDamagedAndForeignFiles) {
  const std::string path = NewFolder() + "/tiles.json";
  const auto expect = [&](const std::function<void(Json&)>& damage,
                          const char* message) {
    Json json = PrintFields(Tuned());
    damage(json);
    std::ofstream(path) << json.dump();
    try {
      ReadMachineTiles(path, ThisMachine());
      ADD_FAILURE() << "accepted " << json.dump();
    } catch (const UserError& error) {
      EXPECT_THAT(error.what(), HasSubstr(message));
    }
  };
  expect([](Json& j) { j["tiles"]["chunk"] = -1; }, "chunk");
  expect([](Json& j) { j["tiles"]["forward_rows"] = int64_t{1} << 40; },
         "forward_rows");
  expect([](Json& j) { j["vectors"]["state_every"] = "two"; }, "state_every");
  expect([](Json& j) { j["tiles"]["rows"] = 1; }, "rows");
  expect([](Json& j) { j["cpu"] = "another"; }, "another machine");
  expect([](Json& j) { j["schema"] = 2; }, "schema");
  expect([](Json& j) { j = "text"; }, "object");
}

// A machine's choice comes before the default, a problem's before both.
TEST(TileSizes, ChoicesComeInOrder) {
  Problem problem;
  UseMachineTileSizes({});
  const TileSizes usual = TileSizesOf(TilePath::kTiles, problem);
  EXPECT_EQ(usual, DefaultTileSizes(TilePath::kTiles, problem));
  UseMachineTileSizes(Tuned().sizes);
  EXPECT_EQ(TileSizesOf(TilePath::kTiles, problem).chunk, 64);
  EXPECT_EQ(TileSizesOf(TilePath::kTiles, problem).backward_rows,
            usual.backward_rows);
  problem.tiling.chunk = 32;
  EXPECT_EQ(TileSizesOf(TilePath::kTiles, problem).chunk, 32);
  UseMachineTileSizes({});
}

}  // namespace
}  // namespace rattn
