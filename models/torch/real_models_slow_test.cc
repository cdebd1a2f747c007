// The two models of scripts/get_models against an independent implementation
// (files of the shared folder, which is not part of the repository).
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>

#include "models/json_fields.h"
#include "models/runtime.h"
#include "models/shared_test_util.h"

namespace rattn {
namespace {

namespace fs = std::filesystem;

fs::path SharedFolder() { return SharedPath("models"); }

fs::path ModelsFolder() {
  if (const char* cache = std::getenv("XDG_CACHE_HOME")) {
    return fs::path(cache) / "rattn/models";
  }
  const char* home = std::getenv("HOME");
  return fs::path(home ? home : "") / ".cache/rattn/models";
}

struct Case {
  std::string key;    // in the shared file
  std::string model;  // folder
  int64_t window = 0;
};

void PrintTo(const Case& c, std::ostream* out) { *out << c.key; }

class RealModels : public testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    for (const fs::path& path :
         {SharedFolder() / "koans.json",
          ModelsFolder() / GetParam().model / "config.json"}) {
      if (!fs::exists(path)) {
        GTEST_SKIP() << path << " is absent (scripts/get_models, RATTN_SHARED)";
      }
    }
  }
  std::unique_ptr<ScoringModel> Load(const std::string& dtype,
                                     int64_t window) const {
    return GetModelRuntime().LoadScoring(
        (ModelsFolder() / GetParam().model).string(), {.window_keys = window},
        {"cpu", dtype, 0});
  }
  // Differences of the text's token log-probabilities.
  std::vector<double> Differences(const std::string& dtype, double* sum) const {
    const Json file = ReadJsonFile((SharedFolder() / "koans.json").string());
    const Json& text = file.at(GetParam().key);
    // Under another window the tokens are the same.
    const auto ids =
        file.at(GetParam().model).at("ids").get<std::vector<int32_t>>();
    const auto wanted = text.at("logprobs").get<std::vector<double>>();
    ScoreRequest request{{ids[0]}, {ids.begin() + 1, ids.end()}};
    ContinuationScore score;
    Load(dtype, GetParam().window)
        ->Score(std::span(&request, 1),
                [&](size_t, const ContinuationScore& s) {
                  score = s;
                  return true;
                });
    std::vector<double> differences;
    for (size_t i = 0; i < wanted.size(); ++i) {
      differences.push_back(std::abs(score.token_log_probs[i] - wanted[i]));
    }
    *sum = score.Sum() - text.at("sum_logprob").get<double>();
    return differences;
  }
};

TEST_P(RealModels, LogProbsOfATextInFp32) {
  double sum = 0, worst = 0;
  for (const double d : Differences("fp32", &sum)) worst = std::max(worst, d);
  EXPECT_LT(worst, 5e-4);
  EXPECT_LT(std::abs(sum), 0.01);
  RecordProperty("worst", fmt::format("{}", worst));
  fmt::print("{}: worst {:.2e}, sum {:.2e}\n", GetParam().key, worst, sum);
}

TEST_P(RealModels, LogProbsOfATextInBf16) {
  double sum = 0, total = 0;
  const std::vector<double> differences = Differences("bf16", &sum);
  for (const double d : differences) total += d;
  const double mean = total / static_cast<double>(differences.size());
  EXPECT_LT(mean, 0.05);
  fmt::print("{}: mean {:.4f}\n", GetParam().key, mean);
}

INSTANTIATE_TEST_SUITE_P(Texts, RealModels,
                         testing::Values(Case{"smollm2-135m", "smollm2-135m"},
                                         Case{"smollm2-135m_window_256",
                                              "smollm2-135m", 256},
                                         Case{"gemma3-270m", "gemma3-270m"}),
                         [](const auto& info) {
                           std::string name = info.param.key;
                           for (char& c : name) c = std::isalnum(c) ? c : '_';
                           return name;
                         });

class RealGreedy : public RealModels {};

TEST_P(RealGreedy, ContinuationsInFp32) {
  const Json all =
      ReadJsonFile((SharedFolder() / "greedy.json").string())[GetParam().key];
  std::vector<GenerateRequest> requests;
  std::vector<std::vector<int32_t>> wanted, got;
  std::vector<std::vector<double>> margins;
  for (const auto& [name, entry] : all.items()) {
    if (!entry["window"].is_null()) continue;
    wanted.push_back(entry["ids"].get<std::vector<int32_t>>());
    margins.push_back(entry["margin"].get<std::vector<double>>());
    requests.push_back({entry["prompt_ids"].get<std::vector<int32_t>>(),
                        static_cast<int64_t>(wanted.back().size()),
                        {}});
  }
  got.resize(wanted.size());
  Load("fp32", 0)->Generate(requests,
                            [&](size_t i, const std::vector<int32_t>& tokens) {
                              got[i] = tokens;
                              return true;
                            });
  for (size_t i = 0; i < wanted.size(); ++i) {
    ASSERT_EQ(got[i].size(), wanted[i].size());
    for (size_t t = 0; t < wanted[i].size(); ++t) {
      if (got[i][t] == wanted[i][t]) continue;
      EXPECT_LT(margins[i][t], 1e-3) << "prompt " << i << ", token " << t;
      break;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Prompts, RealGreedy,
                         testing::Values(Case{"smol", "smollm2-135m"},
                                         Case{"gemma", "gemma3-270m"}),
                         [](const auto& info) { return info.param.key; });

}  // namespace
}  // namespace rattn
