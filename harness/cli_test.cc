// The program as its users meet it: help, errors, exit codes.
#include <gmock/gmock.h>

#include "harness/program_test_util.h"
#include "harness/verbs.h"

namespace rattn {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

TEST(Cli, EveryVerbHasHelpWithAnExample) {
  for (const Verb& verb : Verbs()) {
    const Ended ended = RunProgram({std::string(verb.name), "--help"});
    EXPECT_EQ(ended.exit_code, 0) << verb.name;
    EXPECT_THAT(ended.out, HasSubstr(std::string(verb.summary)));
    EXPECT_THAT(ended.out, HasSubstr("Example:"));
    EXPECT_THAT(ended.out, HasSubstr("rattn " + std::string(verb.name)));
  }
}

TEST(Cli, HelpNamesEveryVerbThatIsForPeople) {
  const Ended ended = RunProgram({"--help"});
  EXPECT_EQ(ended.exit_code, 0);
  for (const Verb& verb : Verbs()) {
    const std::string line = "\n  " + std::string(verb.name) + " ";
    if (verb.hidden) {
      EXPECT_THAT(ended.out, ::testing::Not(HasSubstr(line)));
    } else {
      EXPECT_THAT(ended.out, HasSubstr(line));
    }
  }
}

TEST(Cli, VersionAndNothing) {
  EXPECT_THAT(RunProgram({"--version"}).out, HasSubstr(RATTN_VERSION));
  const Ended nothing = RunProgram({});
  EXPECT_EQ(nothing.exit_code, kExitMisuse);
  EXPECT_THAT(nothing.out, HasSubstr("Usage"));
}

struct Misuse {
  std::vector<std::string> arguments;
  std::string says;
};

void PrintTo(const Misuse& misuse, std::ostream* out) {
  for (const std::string& word : misuse.arguments) *out << word << ' ';
}

class CliMisuse : public ::testing::TestWithParam<Misuse> {};

TEST_P(CliMisuse, IsOneLineAndExitCodeTwo) {
  const Ended ended = RunProgram(GetParam().arguments);
  EXPECT_EQ(ended.exit_code, kExitMisuse) << ended.err;
  EXPECT_EQ(ended.out, "");
  EXPECT_THAT(ended.err, StartsWith("rattn: "));
  EXPECT_THAT(ended.err, HasSubstr(GetParam().says));
  EXPECT_EQ(std::count(ended.err.begin(), ended.err.end(), '\n'), 1)
      << ended.err;
}

INSTANTIATE_TEST_SUITE_P(
    Cases, CliMisuse,
    ::testing::Values(
        Misuse{{"swep"}, "sweep"}, Misuse{{"list", "--jsn"}, "--json"},
        Misuse{{"plan", "smoke", "--filtre", "a=1"}, "--filter"},
        Misuse{{"plan", "nosuch"}, "nosuch"},
        Misuse{{"plan", "./nosuch.json"}, "./nosuch.json"},
        Misuse{{"plan", "smoke", "--filter", "varient=swa"}, "variant"},
        Misuse{{"plan", "smoke", "--set", "window_keys=0"}, "at least 1 key"},
        Misuse{{"plan", "smoke", "--set", "window_keys=-2"}, "window_keys"},
        Misuse{{"plan", "smoke", "--set", "head_dim=7"}, "multiple of 8"},
        Misuse{{"swep", "--help"}, "sweep"},
        Misuse{{"train", "--model", "tiny-recall", "--task", "two_hop",
                "--checkpoint", "/tmp/\xff"},
               "not UTF-8"},
        Misuse{{"mask", "--variant", "swa"}, "--window"},
        Misuse{{"mask", "--variant", "swa+sinks", "--window", "4", "--sinks",
                "-1"},
               "--sinks"},
        Misuse{{"mask", "--variant", "swa", "--window", "4", "--sinks", "1"},
               "rattn: variant swa takes no sinks"},
        Misuse{{"doctor", "--write", "/dev/null/x"}, "/dev/null"},
        Misuse{{"mask", "--variant", "swaa", "--window", "4"}, "swa"},
        Misuse{{"mask", "--window", "0"}, "at least 1 key"},
        Misuse{{"mask", "--window", "-5"}, "at least 1 key"},
        Misuse{{"mask", "--window", "4", "--length", "-1"}, "--length"},
        Misuse{{"mask", "--window", "four"}, "--window"},
        Misuse{{"bench", "--head-dim", "7"}, "multiple of 8"},
        Misuse{{"bench", "--batch", "-1"}, "batch"},
        Misuse{{"bench", "--window", "0"}, "at least 1 key"},
        Misuse{{"bench", "--heads", "3", "--kv-heads", "2"}, "multiple"},
        Misuse{{"bench", "--backend", "gpu"}, "backend"},
        Misuse{{"bench", "--dtype", "fp17"}, "dtype"},
        Misuse{{"memory", "gemma3-12b"}, "gemma-3-12b"},
        Misuse{{"apply", "--variant", "swa", "--window", "4", "--in",
                "/nonexistent/x.safetensors", "--out", "y"},
               "/nonexistent/x.safetensors"},
        Misuse{{"train", "--model", "tiny-recal", "--task", "two_hop"},
               "tiny-recall"},
        Misuse{{"train", "--model", "tiny-recall", "--task", "twohop"},
               "two_hop"},
        Misuse{{"train", "--model", "tiny-recall"}, "task"},
        Misuse{{"eval", "--model", "tiny-recall", "--task", "two_hop",
                "--length", "-4"},
               "--length"},
        Misuse{{"sweep", "smoke", "--out", "/proc/nowhere"}, "/proc/nowhere"},
        Misuse{{"sweep", "smoke", "--out", "/dev/null/x"}, "/dev/null/x"},
        Misuse{{"sweep", "smoke", "--jobs", "0"}, "--jobs"}));

TEST(Cli, AWindowLongerThanTheSequenceIsFullAttention) {
  const Ended wide = RunProgram({"mask", "--variant", "rattention", "--window",
                                 "100", "--length", "8", "--json"});
  ASSERT_EQ(wide.exit_code, 0) << wide.err;
  const Json last = Json::parse(wide.out)["queries"].back();
  EXPECT_EQ(last["window"]["first"], 0);
  EXPECT_EQ(last["window"]["last"], 7);
  EXPECT_TRUE(last["memory"].is_null());
}

TEST(Cli, MaskConventionsAgree) {
  const auto mask = [](const char* convention, const char* window) {
    return RunProgram({"mask", "--variant", "rattention", "--convention",
                       convention, "--window", window, "--length", "9",
                       "--json"})
        .out;
  };
  const std::string keys = mask("window_keys", "4");
  EXPECT_EQ(mask("mistral", "4"), keys);
  EXPECT_EQ(mask("paper", "3"), keys);
  EXPECT_EQ(mask("flash-attention", "3"), keys);
  const Json row = Json::parse(keys)["queries"][6];
  EXPECT_EQ(row["window"]["first"], 3);
  EXPECT_EQ(row["memory"]["last"], 2);
}

TEST(Cli, ListKnowsTheTorchBackendWithoutLoadingIt) {
  const Ended ended = RunProgram({"list", "backends", "--json"});
  ASSERT_EQ(ended.exit_code, 0) << ended.err;
  bool found = false;
  const Json listed = Json::parse(ended.out);
  for (const Json& row : listed["backends"]) {
    found |= row["name"] == "torch" && row["usable"].is_null();
  }
  EXPECT_TRUE(found);
}

TEST(Cli, ThreadsWaitBrieflyUnlessTheEnvironmentSaysHow) {
  unsetenv("GOMP_SPINCOUNT");
  unsetenv("OMP_WAIT_POLICY");
  const auto turns = [](const Environment& environment) {
    const Ended ended = RunProgram({"doctor", "--json"}, environment);
    EXPECT_EQ(ended.exit_code, 0) << ended.err;
    return ParseJsonText(ended.out, "output")["threads"].value("GOMP_SPINCOUNT",
                                                               "");
  };
  EXPECT_EQ(turns({}), "4000");
  EXPECT_EQ(turns({{"GOMP_SPINCOUNT", "77"}}), "77");
  EXPECT_EQ(turns({{"OMP_WAIT_POLICY", "passive"}}), "");
}

TEST(Cli, BenchSaysThatMemoryDoesNotSuffice) {
  const Ended ended = RunProgram({"bench", "--head-dim", "8000000", "--json"});
  const Json cells = Json::parse(ended.out);
  ASSERT_EQ(cells.size(), 1u);
  EXPECT_EQ(cells[0]["status"], "skipped");
  EXPECT_THAT(cells[0]["reason"].get<std::string>(), HasSubstr("are free"));
}

TEST(Cli, BenchChecksTimesAndReportsMemory) {
  const Ended ended = RunProgram({"bench",
                                  "--variant",
                                  "swa,rattention",
                                  "--window",
                                  "16",
                                  "--context",
                                  "64",
                                  "--heads",
                                  "2",
                                  "--kv-heads",
                                  "1",
                                  "--head-dim",
                                  "16",
                                  "--dtype",
                                  "fp32",
                                  "--backend",
                                  "cpu,reference",
                                  "--max-seconds",
                                  "0.02",
                                  "--min-samples",
                                  "3",
                                  "--json"});
  ASSERT_EQ(ended.exit_code, 0) << ended.err;
  const Json cells = Json::parse(ended.out);
  ASSERT_EQ(cells.size(), 4u);
  for (const Json& cell : cells) {
    EXPECT_EQ(cell["status"], "done") << cell["reason"];
    EXPECT_TRUE(cell["check"]["passed"].get<bool>());
    EXPECT_GT(cell["stats"]["median"].get<double>(), 0);
    EXPECT_GT(cell["detail"]["peak_memory_bytes"].get<double>(), 1e6);
    int shares = 0;
    for (const Json& metric : cell["metrics"]) {
      if (metric["unit"] != "fraction") continue;
      ++shares;
      EXPECT_GT(metric["value"].get<double>(), 0) << metric["key"];
      EXPECT_LT(metric["value"].get<double>(), 2) << metric["key"];
    }
    EXPECT_EQ(shares, 2);
  }
}

TEST(Cli, BenchSaysWhereAWindowOvertakesFullAttention) {
  const Ended ended =
      RunProgram({"bench", "--variant",     "full,swa", "--window",
                  "8",     "--context",     "64,1024",  "--heads",
                  "2",     "--kv-heads",    "1",        "--head-dim",
                  "16",    "--dtype",       "fp32",     "--max-seconds",
                  "0.02",  "--min-samples", "3",        "--no-peaks"});
  ASSERT_EQ(ended.exit_code, 0) << ended.err;
  EXPECT_THAT(ended.out, HasSubstr("swa W=8"));
  EXPECT_THAT(ended.out, HasSubstr("full attention"));
}

}  // namespace
}  // namespace rattn
