// A run on a CPU beside one on a GPU, both synthetic (testdata).
#include "harness/compare.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "harness/report.h"
#include "models/source_folder.h"

namespace rattn {
namespace {

using testing::HasSubstr;

std::vector<std::string> Runs() {
  const auto data = SourceFolder() / "harness/testdata";
  return {data / "compare_cpu_synthetic", data / "compare_gpu_synthetic"};
}

TEST(Compare, CpuAndGpuShareRows) {
  const Comparison comparison = Compare(Runs(), {});
  ASSERT_EQ(comparison.rows.size(), 9u);
  for (const ComparedRow& row : comparison.rows) {
    SCOPED_TRACE(row.axes.dump());
    EXPECT_EQ(row.axes.at("backend"), "cpu, cuda");
    ASSERT_NE(row.throughput[0], nullptr);
    ASSERT_NE(row.throughput[1], nullptr);
    EXPECT_EQ(row.throughput[0]->Text("backend"), "cpu");
    EXPECT_EQ(row.throughput[1]->Text("backend"), "cuda");
    EXPECT_DOUBLE_EQ(*row.ratio[1],
                     row.throughput[1]->value / row.throughput[0]->value);
  }
}

// Executed FLOP/s are a half of the peak, the useful ones 1/1.1 of these.
TEST(Compare, PercentOfPeakIsThatOfTheMeasurementOrOfTheFile) {
  const auto longest = [](const Comparison& comparison) {
    for (const ComparedRow& row : comparison.rows) {
      if (row.axes["variant"] == "full" && row.axes["context"] == 16384) {
        return row.percent_of_peak;
      }
    }
    return std::vector<std::optional<double>>();
  };
  const auto own = longest(Compare(Runs(), {}));
  ASSERT_EQ(own.size(), 2u);
  // The fixture's kernels reach a half of 3/4 (CPU) and of 1/2 (GPU).
  EXPECT_NEAR(*own[0], 100 * 0.375 / 1.1, 0.2);
  EXPECT_NEAR(*own[1], 100 * 0.25 / 1.1, 0.5);
  const auto files = longest(Compare(Runs(), {"a100-80gb", "h100-sxm"}));
  EXPECT_NEAR(*files[1], *own[1] * 800 / 989, 1e-2);
}

TEST(Compare, EachMachineHasItsCrossovers) {
  const Json json = ToJson(Compare(Runs(), {}));
  const auto context = [&](int run) {
    for (const Json& one : json["runs"][run]["crossovers"]) {
      if (one["variant"] == "rattention") return one["context"].get<double>();
    }
    return 0.0;
  };
  EXPECT_GT(context(0), 1024);
  EXPECT_GT(context(1), context(0));
  EXPECT_LT(context(1), 16384);
}

TEST(Compare, PageHasBothMachinesAndBackends) {
  const Document document = ToDocument(Compare(Runs(), {}));
  for (const std::string& page : {ToMarkdown(document), ToHtml(document, "")}) {
    for (const char* text :
         {"Synthetic CPU (test data)", "Synthetic GPU (test data)", "cpu, cuda",
          "overtakes full attention", "% of peak"}) {
      EXPECT_THAT(page, HasSubstr(text));
    }
  }
}

// Where a run has two backends of its own it is not clear which one to take.
TEST(Compare, BackendsOfOneRunStayApart) {
  const std::string cpu = Runs()[0];
  const auto folder =
      std::filesystem::path(testing::TempDir()) / "compare_two_backends";
  std::filesystem::remove_all(folder);
  std::filesystem::copy(cpu, folder, std::filesystem::copy_options::recursive);
  for (const auto& entry :
       std::filesystem::directory_iterator(std::string(cpu) + "/cells")) {
    Json cell = ReadJsonFile(entry.path());
    cell["axes"]["backend"] = "torch";
    cell["id"] = "torch" + cell["id"].get<std::string>();
    std::ofstream(folder / "cells" / (cell["id"].get<std::string>() + ".json"))
        << cell;
  }
  const Comparison comparison = Compare({folder, Runs()[1]}, {});
  EXPECT_EQ(comparison.rows.size(), 27u);
}

}  // namespace
}  // namespace rattn
