#include "tasks/files/lm_eval_results.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tasks/files/lm_eval_samples.h"

namespace rattn {
namespace {

TextEvalResult Result(const std::string& name, double acc, int64_t n) {
  TextEvalResult result;
  result.name = "mmlu_" + name;
  result.alias = name;
  result.version = 1.0;
  result.config = Json::object();
  result.shots = 5;
  result.documents = result.evaluated = n;
  result.metrics = {{"acc", "none", {acc, 0.0402, {acc - 0.1, acc + 0.1}}}};
  return result;
}

TEST(LmEvalResultsTest, GroupsHaveBothAverages) {
  const std::vector<TextEvalResult> results = {Result("anatomy", 0.25, 100),
                                               Result("virology", 0.75, 300)};
  const std::vector<TextGroup> groups = {
      {"mmlu_stem", "stem", 2, {"mmlu_anatomy"}, "anatomy is STEM"},
      {"mmlu_other", "other", 2, {"mmlu_virology"}, ""},
      {"mmlu", "mmlu", 2, {"mmlu_stem", "mmlu_other"}, ""},
      {"mmlu_humanities", "humanities", 2, {"mmlu_philosophy"}, ""}};
  const Json json =
      LmEvalResults(results, groups, {{"config", {{"model", "fake"}}}});
  EXPECT_EQ(json["groups"]["mmlu"]["acc,none"], 0.625);
  EXPECT_EQ(json["groups"]["mmlu"]["acc_by_subject,none"], 0.5);
  EXPECT_EQ(json["groups"]["mmlu"]["sample_len"], 400);
  EXPECT_EQ(json["groups"]["mmlu_stem"]["note"], "anatomy is STEM");
  EXPECT_FALSE(json["results"].contains("mmlu_humanities"));
  EXPECT_EQ(json["n-shot"]["mmlu"], 5);
  EXPECT_EQ(json["config"]["model"], "fake");
  EXPECT_EQ(json["results"]["mmlu_anatomy"]["acc_ci95,none"].dump(),
            "[0.15,0.35]");
  EXPECT_EQ(LmEvalTable(json, "groups"),
            "| Groups  |Version|Filter|n-shot|    Metric    |   |Value |   "
            "|Stderr|\n"
            "|---------|------:|------|-----:|--------------|---|-----:|---|"
            "-----:|\n"
            "|mmlu     |      2|none  |     5|acc           |↑  |0.6250|±  "
            "|0.0317|\n"
            "|         |       |none  |     5|acc_by_subject|↑  |0.5000|±  "
            "|0.0284|\n"
            "| - other |      2|none  |     5|acc           |↑  |0.7500|±  "
            "|0.0402|\n"
            "|         |       |none  |     5|acc_by_subject|↑  |0.7500|±  "
            "|0.0402|\n"
            "| - stem  |      2|none  |     5|acc           |↑  |0.2500|±  "
            "|0.0402|\n"
            "|         |       |none  |     5|acc_by_subject|↑  |0.2500|±  "
            "|0.0402|\n");
}

// What lm-eval 0.4.13 prints.
TEST(LmEvalResultsTest, TableIsLmEvals) {
  TextEvalResult result = Result("", 0, 1319);
  result.name = result.alias = "gsm8k_cot";
  result.version = 3.0;
  result.shots = 8;
  result.metrics = {{"exact_match", "strict-match", {0.0008, 0.0008, {}}},
                    {"exact_match", "flexible-extract", {0, std::nullopt, {}}}};
  const Json json = LmEvalResults({{result}}, {}, Json::object());
  EXPECT_EQ(
      LmEvalTable(json, "results"),
      "|  Tasks  |Version|     Filter     |n-shot|  Metric   |   |Value |   "
      "|Stderr|\n"
      "|---------|------:|----------------|-----:|-----------|---|-----:|---|"
      "-----:|\n"
      "|gsm8k_cot|      3|flexible-extract|     8|exact_match|↑  |0.0000|±  |"
      "   N/A|\n"
      "|         |       |strict-match    |     8|exact_match|↑  |0.0008|±  |"
      "0.0008|\n");
  EXPECT_EQ(json["results"]["gsm8k_cot"]["exact_match_stderr,flexible-extract"],
            "N/A");
}

TEST(LmEvalResultsTest, FloatsAsPythonWritesThem) {
  EXPECT_EQ(PythonFloat(-12), "-12.0");
  EXPECT_EQ(PythonFloat(-0.1), "-0.1");
  EXPECT_EQ(PythonFloat(1e-5), "1e-05");
  EXPECT_EQ(PythonFloat(1e16), "1e+16");
}

TEST(LmEvalResultsTest, SampleHashesAreOfTheIndentedDocument) {
  TextDocument document;
  document.row = {{"q", "é\n"}, {"list", {1, 2}}, {"none", Json::array()}};
  document.target_text = "3";
  const TextRequest request{std::make_shared<const std::string>("prompt")};
  const SampleHashes hashes = HashSample(document, request);
  // hashlib.sha256(json.dumps(doc, indent=2, ensure_ascii=False).encode())
  EXPECT_EQ(hashes.document,
            "f62e333c9f463963f3955970c9bc3fc36b20a24299ac392497e44256ee5c86a6");
  EXPECT_EQ(hashes.target,
            "4e07408562bedb8b60ce05c1decfe3ad16b72230967de01f640b7e4729b49fce");
}

}  // namespace
}  // namespace rattn
