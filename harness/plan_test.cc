#include "harness/plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "models/error.h"

namespace rattn {
namespace {

using ::testing::HasSubstr;

Json Config(const std::string& groups) {
  return Json::parse(R"({"name": "test", "groups": [)" + groups + "]}");
}

Json Kernels() {
  return Config(R"({"kind": "kernel",
    "axes": {"variant": ["full", "swa", "rattention"], "window_keys": [8, 16]},
    "fixed": {"context": 64, "head_dim": 16, "query_heads": 2, "kv_heads": 1}})");
}

std::vector<std::string> Ids(const Plan& plan) {
  std::vector<std::string> ids;
  for (const Cell& cell : plan.cells) ids.push_back(cell.id);
  return ids;
}

std::string Error(const Json& config, const PlanOptions& options = {}) {
  try {
    MakePlan(config, "test.json", options);
  } catch (const UserError& error) {
    return error.what();
  }
  return "no error";
}

TEST(Plan, IsTheProductWithWindowlessVariantsOnce) {
  const Plan plan = MakePlan(Kernels(), "test.json", {});
  ASSERT_EQ(plan.cells.size(), 5u);
  EXPECT_EQ(plan.cells[0].Get("variant"), "full");
  EXPECT_TRUE(plan.cells[0].Get("window_keys").is_null());
  EXPECT_EQ(plan.cells[1].Get("window_keys"), 8);
  EXPECT_EQ(plan.cells[2].Get("window_keys"), 16);
  EXPECT_EQ(plan.cells[4].Get("variant"), "rattention");
}

TEST(Plan, IdsDependOnValuesAlone) {
  const std::vector<std::string> ids = Ids(MakePlan(Kernels(), "a", {}));
  EXPECT_EQ(std::set<std::string>(ids.begin(), ids.end()).size(), ids.size());
  // Defaults written out, keys in another order, another name.
  Json other = Json::parse(R"({"groups": [{"axes":
    {"variant": ["full", "swa", "rattention"], "window_keys": [8, 16]},
    "fixed": {"kv_heads": 1, "query_heads": 2, "head_dim": 16, "context": 64,
              "batch": 1, "noise": 0.01, "max_seconds": 3},
    "kind": "kernel"}], "name": "other"})");
  EXPECT_EQ(Ids(MakePlan(other, "b", {})), ids);
  other["groups"][0]["fixed"]["batch"] = 2;
  for (const std::string& id : Ids(MakePlan(other, "c", {}))) {
    EXPECT_THAT(ids, ::testing::Not(::testing::Contains(id)));
  }
}

// Ids name files that are kept: they must not change by accident.
TEST(Plan, IdIsStableBetweenVersions) {
  EXPECT_EQ(MakeCell("kernel", {{"b", 1}, {"a", "x"}}, Json::object()).id,
            MakeCell("kernel", {{"a", "x"}, {"b", 1}}, Json::object()).id);
  EXPECT_EQ(MakeCell("kernel", {{"a", "x"}, {"b", 1}}, Json::object()).id,
            "e9f8efce91deaf06");
}

TEST(Plan, RulesKeepAndDrop) {
  Json config = Kernels();
  config["groups"][0]["exclude"] = {{{"variant", "swa"}, {"window_keys", 16}}};
  EXPECT_EQ(MakePlan(config, "t", {}).cells.size(), 4u);
  config["groups"][0]["only"] = {{{"variant", {"swa", "full"}}}};
  EXPECT_EQ(MakePlan(config, "t", {}).cells.size(), 2u);
}

TEST(Plan, FilterAndSet) {
  PlanOptions options;
  options.filter = {ParseChoice("variant=swa,full", "--filter")};
  Plan plan = MakePlan(Kernels(), "t", options);
  EXPECT_EQ(plan.cells.size(), 3u);
  EXPECT_EQ(plan.all_ids.size(), 5u);
  options.filter = {ParseChoice("window_keys=null", "--filter")};
  EXPECT_EQ(MakePlan(Kernels(), "t", options).cells.size(), 1u);
  options.filter.clear();
  options.set = {ParseChoice("window_keys=4,5,6", "--set"),
                 ParseChoice("context=100", "--set")};
  plan = MakePlan(Kernels(), "t", options);
  EXPECT_EQ(plan.cells.size(), 7u);
  EXPECT_EQ(plan.cells[1].Get("window_keys"), 4);
  EXPECT_EQ(plan.cells[1].Get("context"), 100);
}

TEST(Plan, AFilterValueThatNoCellHasIsAnError) {
  PlanOptions options;
  options.filter = {ParseChoice("variant=swaa", "--filter")};
  EXPECT_THAT(Error(Kernels(), options), HasSubstr("did you mean \"swa\""));
  options.filter = {ParseChoice("kind=bogus", "--filter")};
  EXPECT_THAT(Error(Kernels(), options), HasSubstr("kind = bogus"));
}

TEST(Plan, NoCellsAtAllIsAnError) {
  EXPECT_THAT(Error(Json::parse(R"({"name": "x", "groups": []})")),
              HasSubstr("no cells"));
  PlanOptions options;
  options.filter = {ParseChoice("variant=full", "--filter"),
                    ParseChoice("window_keys=16", "--filter")};
  EXPECT_THAT(Error(Kernels(), options), HasSubstr("no cell passes"));
}

TEST(Plan, SetLeavesGroupsAloneThatDoNotNameTheField) {
  Json config = Config(R"({"kind": "train", "axes": {"seed": [0]},
    "fixed": {"model": "tiny-recall", "task": "two_hop"}})");
  config["groups"].push_back(Kernels()["groups"][0]);
  PlanOptions options;
  const size_t kernels = MakePlan(Kernels(), "t", {}).cells.size();
  options.set = {ParseChoice("seed=0,1,2", "--set")};
  EXPECT_EQ(MakePlan(config, "t", options).cells.size(), 3 + kernels);
  // Named by none: every group that has it.
  options.set = {ParseChoice("batch=1,2", "--set")};
  config["groups"][1]["fixed"].erase("batch");
  EXPECT_EQ(MakePlan(config, "t", options).cells.size(), 2 + 2 * kernels);
}

TEST(Plan, NamesAndLimitsThatCannotWorkAreRefused) {
  Json config = Kernels();
  config["name"] = "..";
  EXPECT_THAT(Error(config), HasSubstr("name"));
  config["name"] = "x";
  config["time_limit"] = -1;
  EXPECT_THAT(Error(config), HasSubstr("above 0"));
}

TEST(Plan, ChoicesKeepBracketsAndQuotesTogether) {
  const FieldChoice choice =
      ParseChoice(R"(pattern=["local","global"],LG,"a,b",4,true)", "--set");
  ASSERT_EQ(choice.values.size(), 5u);
  EXPECT_EQ(choice.values[0], Json({"local", "global"}));
  EXPECT_EQ(choice.values[2], "a,b");
  EXPECT_EQ(choice.values[3], 4);
  EXPECT_EQ(choice.values[4], true);
  EXPECT_THROW(ParseChoice("pattern", "--set"), UserError);
  EXPECT_THROW(ParseChoice("=4", "--set"), UserError);
  EXPECT_THROW(ParseChoice("a=", "--set"), UserError);
  EXPECT_THROW(ParseChoice("a=[1,2", "--set"), UserError);
  EXPECT_THROW(ParseChoice("a=\xec\xff", "--set"), UserError);
}

TEST(Plan, EvalCellsBringTheirTrainCells) {
  const Json config = Config(R"({"kind": "eval",
    "axes": {"variant": ["full", "swa"], "window_keys": [4, 8],
             "length": [56, 112], "seed": [0, 1]},
    "fixed": {"model": "tiny-recall", "task": "two_hop", "pattern": "LL",
      "lr": {"by": "variant", "values": {"swa": 0.003}, "default": 0.004}}})");
  const Plan plan = MakePlan(config, "t", {});
  std::map<std::string, size_t> place;
  std::map<std::string, int> kinds;
  for (size_t i = 0; i < plan.cells.size(); ++i) {
    const Cell& cell = plan.cells[i];
    ++kinds[cell.kind];
    place[cell.id] = i;
    for (const std::string& need : cell.needs) {
      ASSERT_TRUE(place.contains(need)) << "needed cells come first";
      const Cell& train = plan.cells[place[need]];
      EXPECT_EQ(train.kind, "train");
      EXPECT_EQ(train.Get("variant"), cell.Get("variant"));
      EXPECT_EQ(train.Get("seed"), cell.Get("seed"));
    }
    EXPECT_EQ(cell.needs.size(), cell.kind == "eval" ? 1u : 0u);
    EXPECT_DOUBLE_EQ(cell.Get("lr").get<double>(),
                     cell.Get("variant") == "swa" ? 0.003 : 0.004);
  }
  EXPECT_EQ(kinds["train"], 6);  // full, swa 4, swa 8, two seeds each
  EXPECT_EQ(kinds["eval"], 12);  // at two lengths
}

TEST(Plan, AFilteredEvalStillBringsItsTrainCell) {
  const Json config = Config(R"({"kind": "eval",
    "axes": {"seed": [0, 1]},
    "fixed": {"model": "tiny-recall", "task": "two_hop"}})");
  PlanOptions options;
  options.filter = {ParseChoice("kind=eval", "--filter"),
                    ParseChoice("seed=1", "--filter")};
  const Plan plan = MakePlan(config, "t", options);
  ASSERT_EQ(plan.cells.size(), 2u);
  EXPECT_EQ(plan.cells[0].kind, "train");
}

TEST(Plan, PatternsHaveOneSpelling) {
  const auto id = [](const char* pattern) {
    return MakePlan(Config(std::string(R"({"kind": "train", "fixed":
      {"model": "tiny-recall", "task": "two_hop", "pattern": )") +
                           pattern + "}}"),
                    "t", {})
        .cells[0]
        .id;
  };
  EXPECT_EQ(id(R"("LG")"), id(R"(["local", "global"])"));
  EXPECT_NE(id(R"("LG")"), id(R"("LL")"));
}

TEST(Plan, ErrorsNameTheNearestKnownKey) {
  Json config = Kernels();
  config["grups"] = 1;
  EXPECT_THAT(Error(config), HasSubstr("groups"));
  config = Kernels();
  config["groups"][0]["axis"] = 1;
  EXPECT_THAT(Error(config), HasSubstr("axes"));
  config = Kernels();
  config["groups"][0]["axes"]["windw_keys"] = {1};
  EXPECT_THAT(Error(config), HasSubstr("window_keys"));
  config = Kernels();
  config["groups"][0]["fixed"]["thread"] = 1;
  EXPECT_THAT(Error(config), HasSubstr("threads"));
  config = Kernels();
  config["groups"][0]["kind"] = "kernal";
  EXPECT_THAT(Error(config), HasSubstr("kernel"));
  PlanOptions options;
  options.filter = {{"varient", {"swa"}}};
  EXPECT_THAT(Error(Kernels(), options), HasSubstr("variant"));
  options = {};
  options.set = {{"sed", {1}}};
  EXPECT_THAT(Error(Kernels(), options), HasSubstr("seed"));
  options.set = {{"lr", {1}}};  // known, but not to kernels
  EXPECT_THAT(Error(Kernels(), options), HasSubstr("no group"));
}

TEST(Plan, ImpossibleValuesAreRefused) {
  const auto with = [](const char* where, const char* key, const Json& value) {
    Json config = Kernels();
    config["groups"][0][where][key] = value;
    return Error(config);
  };
  EXPECT_THAT(with("axes", "window_keys", {0}), HasSubstr("at least 1 key"));
  EXPECT_THAT(with("axes", "window_keys", {-4}), HasSubstr("at least 0"));
  EXPECT_THAT(with("axes", "window_keys", Json::array()),
              HasSubstr("at least one value"));
  EXPECT_THAT(with("axes", "variant", {"swaa"}), HasSubstr("swa"));
  EXPECT_THAT(with("fixed", "head_dim", 7), HasSubstr("multiple of 8"));
  EXPECT_THAT(with("fixed", "batch", -1), HasSubstr("at least 1"));
  EXPECT_THAT(with("fixed", "context", "4k"), HasSubstr("an integer"));
  EXPECT_THAT(with("fixed", "context", uint64_t{1} << 63),
              HasSubstr("an integer"));
  EXPECT_THAT(with("fixed", "dtype", "fp16"), HasSubstr("dtype"));
  EXPECT_THAT(
      with("fixed", "noise", Json::parse(R"({"by": "backnd", "values": {}})")),
      HasSubstr("backend"));
  EXPECT_THAT(with("axes", "threads", {1024, 99999}), HasSubstr("threads"));
}

TEST(Plan, HugeProductsAreRefusedBeforeTheyAreBuilt) {
  Json config = Kernels();
  Json many = Json::array();
  for (int i = 1; i <= 400; ++i) many.push_back(i);
  for (const char* axis : {"batch", "seed", "context"}) {
    config["groups"][0]["fixed"].erase(axis);
    config["groups"][0]["axes"][axis] = many;
  }
  EXPECT_THAT(Error(config), HasSubstr("more than"));
}

TEST(Plan, ManyGroupsOfManyCellsAreRefusedBeforeTheyAreBuilt) {
  Json config = Kernels();
  Json many = Json::array();
  for (int i = 1; i <= 1000; ++i) many.push_back(i);
  Json& group = config["groups"][0];
  group["fixed"].erase("batch");
  group["axes"]["batch"] = many;
  group["only"] = {{{"batch", 1}}};
  config["groups"] = std::vector<Json>(200, Json(group));
  EXPECT_THAT(Error(config), HasSubstr("more than"));
}

}  // namespace
}  // namespace rattn
