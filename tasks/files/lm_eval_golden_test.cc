// lm-eval 0.4.13's own task code, run on the same files with answers that are
// the same function of each request's text (HashedAnswers). Its task hash is a
// SHA-256 over document, prompt and target of every sample: one other byte in
// one prompt, or one other shot, changes it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "models/error.h"
#include "tasks/files/fake_text_model.h"
#include "tasks/files/lm_eval_results.h"
#include "tasks/files/run_text_task.h"
#include "tasks/files/shared_data.h"
#include "tasks/files/text_task_list.h"

namespace rattn {
namespace {

struct Golden {
  const char* name;
  int64_t shots;
  double limit;  // 0 = all
  size_t documents;
  const char* task_hash;
  std::vector<double> values;  // of the metrics in order
};

void PrintTo(const Golden& golden, std::ostream* out) { *out << golden.name; }

const std::vector<Golden>& Goldens() {
  static const std::vector<Golden> goldens = {
      {"hellaswag",
       10,
       200,
       10042,
       "1acda6d36ee9e7ce7e4fe953c12d42c6e19d4dde38dbf85d7fbd8f21370c9762",
       {0.26, 0.275}},
      {"lambada_openai",
       3,
       100,
       5153,
       "3712a597009b0ba5f7d3c5d4dca26c62876b74fe01130d049275c1b9a2177f8c",
       {1.6158563621101384e+53, 0.31}},
      {"piqa",
       5,
       300,
       1838,
       "ad22728460c0230336ea2ed2807622cd740db56387cb944bb050dcd002c3e844",
       {0.5233333333333333, 0.5133333333333333}},
      {"winogrande",
       5,
       0,
       1267,
       "a73c0408c2bd1365f7c47f1d39d6cff5764375f4120de5abea854d9a80d989dd",
       {0.531965272296764}},
      {"arc_easy",
       0,
       0,
       2376,
       "dce0d9b0f0cecd55bf2ac264042c5e45487df708d13123af3ae9e67bbbefdeb1",
       {0.2588383838383838, 0.26136363636363635}},
      {"arc_challenge",
       25,
       0,
       1172,
       "55e883475b5650b20d8d9dc1e9cdf59ef645a257fcd74bf43a9dbb5c632c529c",
       {0.25426621160409557, 0.26535836177474403}},
      {"sciq",
       0,
       0,
       1000,
       "2e3dc550aee8305da71bbce5155197208a664c4ffefc6101cc085f1f4449b70f",
       {0.254, 0.26}},
      {"triviaqa",
       1,
       500,
       7993,
       "36b0554363d2baa69ae637f62728af2d18ec3b55384c6244cca90f54fa3cc4d4",
       {0}},
      {"webqs",
       0,
       0,
       2032,
       "d742c21d020c89484f12115fdc9a516f76c5c187ae5b3ff0972292ccfff8a2d1",
       {0.4138779527559055}},
      {"gsm8k",
       8,
       100,
       1319,
       "077850faf98b6037f54e0c158610b517b574ab02c70b0eb01da3764ac1ca70ad",
       {0.0, 0.0}},
      {"gsm8k_cot",
       8,
       0,
       1319,
       "fc360963b39ee52c26a82795124f9ad7da4d6a8fecf1b77e2502823b1669b3d0",
       {0.002274450341167551, 0.008339651250947688}},
  };
  return goldens;
}

class LmEvalGoldenTest : public testing::TestWithParam<Golden> {};

TEST_P(LmEvalGoldenTest, HashesAndScoresAreLmEvals) {
  RATTN_SKIP_WITHOUT_SHARED_DATA();
  const Golden& golden = GetParam();
  DataFolder data(SharedData());
  const TextSuite suite = LoadTextSuite({golden.name}, &data);
  ASSERT_EQ(suite.tasks.size(), 1u);
  EXPECT_EQ(suite.tasks[0].documents.size(), golden.documents);
  HashedAnswers answers;
  TextEvalOptions options;
  options.answers = &answers;
  options.shots = golden.shots;
  options.bootstrap_draws = 0;
  if (golden.limit > 0) options.limit = golden.limit;
  const FakeScoringModel model(nullptr);
  const auto result =
      RunTextTask(suite.tasks[0], ByteTokenizer(), model, options);
  EXPECT_EQ(result.task_hash, golden.task_hash);
  ASSERT_EQ(result.metrics.size(), golden.values.size());
  for (size_t i = 0; i < golden.values.size(); ++i) {
    EXPECT_DOUBLE_EQ(result.metrics[i].estimate.value, golden.values[i])
        << result.metrics[i].name << ", " << result.metrics[i].filter;
  }
}

INSTANTIATE_TEST_SUITE_P(Tasks, LmEvalGoldenTest, testing::ValuesIn(Goldens()),
                         [](const auto& info) {
                           return std::string(info.param.name);
                         });

TEST(LmEvalGoldenMmluTest, HashesAndScoresAreLmEvals) {
  RATTN_SKIP_WITHOUT_SHARED_DATA();
  DataFolder data(SharedData());
  const TextSuite suite = LoadTextSuite({"mmlu"}, &data);
  ASSERT_EQ(suite.tasks.size(), 57u);
  HashedAnswers answers;
  TextEvalOptions options;
  options.answers = &answers;
  options.limit = 20;
  const FakeScoringModel model(nullptr);
  std::vector<TextEvalResult> results;
  std::map<std::string, std::string> hashes;
  size_t documents = 0;
  for (const TextTask& task : suite.tasks) {
    documents += task.documents.size();
    results.push_back(RunTextTask(task, ByteTokenizer(), model, options));
    hashes[task.name] = results.back().task_hash;
  }
  EXPECT_EQ(documents, 14042u);
  std::string all;
  for (const auto& [name, hash] : hashes) all += hash;
  EXPECT_EQ(Sha256Hex(all),
            "9ef3d72613e9b6f4744db4023f0f95da2b86d8760ff835209c3e316452012176");
  const Json json = LmEvalResults(results, suite.groups, Json::object());
  const Json& mmlu = json["results"]["mmlu"];
  EXPECT_DOUBLE_EQ(mmlu["acc,none"].get<double>(), 0.22982456140350876);
  EXPECT_NEAR(mmlu["acc_stderr,none"].get<double>(), 0.012480241467166298,
              1e-15);
  const Json& stem = json["groups"]["mmlu_stem"];
  EXPECT_EQ(stem["sample_len"], 380);
  EXPECT_DOUBLE_EQ(stem["acc,none"].get<double>(), 0.23157894736842105);
}

}  // namespace
}  // namespace rattn
