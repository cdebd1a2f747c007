#include "models/json_fields.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

namespace rattn {
namespace {

using testing::HasSubstr;

struct Inner {
  int64_t keys = 3;
  std::optional<double> scale;
};

template <typename Visitor>
void VisitFields(Visitor& visit, Inner& c) {
  visit.Required("keys", c.keys, "how many");
  visit.Optional("scale", c.scale, "by how much");
}

struct Outer {
  std::string name;
  bool on = false;
  int small = 1;
  uint64_t seed = 0;
  std::vector<Inner> parts;
  std::map<std::string, double> limits;
  Inner inner;
  Json anything;
};

template <typename Visitor>
void VisitFields(Visitor& visit, Outer& c) {
  visit.Required("name", c.name, "what it is called");
  visit.Optional("on", c.on, "switch");
  visit.Optional("small", c.small, "a small number");
  visit.Optional("seed", c.seed, "seed");
  visit.Optional("parts", c.parts, "parts");
  visit.Optional("limits", c.limits, "limits");
  visit.Optional("inner", c.inner, "inner");
  visit.Optional("anything", c.anything, "free");
}

// The message of the UserError that reading `text` gives; "" if none.
std::string ErrorOf(const std::string& text) {
  try {
    ParseFields<Outer>(ParseJsonText(text, "f.json"), "f.json");
  } catch (const UserError& e) {
    EXPECT_EQ(std::string(e.what()).find('\n'), std::string::npos);
    return e.what();
  }
  return "";
}

TEST(JsonFields, ReadsAndWritesEveryType) {
  const Json json = ParseJsonText(
      R"({"name": "a", "on": true, "small": -7, "seed": 18446744073709551615,
          "parts": [{"keys": 1, "scale": 0.5}, {"keys": 2, "scale": null}],
          "limits": {"x": 1, "y": 2.5}, "inner": {"keys": 9, "scale": null},
          "anything": [1, {"z": null}]})",
      "f.json");
  const auto outer = ParseFields<Outer>(json, "f.json");
  EXPECT_EQ(outer.seed, UINT64_MAX);
  EXPECT_EQ(outer.small, -7);
  ASSERT_EQ(outer.parts.size(), 2u);
  EXPECT_EQ(outer.parts[0].scale, 0.5);
  EXPECT_FALSE(outer.parts[1].scale.has_value());
  EXPECT_EQ(outer.limits.at("y"), 2.5);
  Json printed = PrintFields(outer);
  printed["limits"]["x"] = 1;  // a double was an integer in the text
  EXPECT_EQ(printed, json);
}

TEST(JsonFields, ErrorsNameTheKeyAndTheNearestKnownOne) {
  EXPECT_EQ(ErrorOf(R"({"name": "a", "inner": {"kesy": 1}})"),
            "f.json: unknown key \"inner.kesy\"; did you mean \"keys\"?");
  EXPECT_EQ(ErrorOf(R"({"nam": "a"})"),
            "f.json: unknown key \"nam\"; did you mean \"name\"?");
  EXPECT_EQ(ErrorOf("{}"), "f.json: key \"name\" is missing");
  EXPECT_EQ(ErrorOf(R"({"name": "a", "inner": {}})"),
            "f.json: key \"inner.keys\" is missing");
}

TEST(JsonFields, ErrorsNameTheExpectedType) {
  EXPECT_EQ(ErrorOf(R"({"name": 7})"),
            "f.json: \"name\" must be a string, not 7");
  EXPECT_EQ(ErrorOf(R"({"name": "a", "parts": [{"keys": 1}, {"keys": 1.5}]})"),
            "f.json: \"parts[1].keys\" must be an integer, not 1.5");
  EXPECT_THAT(ErrorOf(R"({"name": "a", "small": 3000000000})"),
              HasSubstr("\"small\" must be an integer"));
  EXPECT_THAT(ErrorOf(R"({"name": "a", "seed": -1})"),
              HasSubstr("\"seed\" must be an integer"));
  EXPECT_THAT(ErrorOf(R"({"name": "a", "on": 1})"),
              HasSubstr("\"on\" must be true or false"));
  EXPECT_THAT(ErrorOf(R"({"name": "a", "limits": {"x": "y"}})"),
              HasSubstr("\"limits.x\" must be a number"));
  EXPECT_THAT(ErrorOf("[1]"), HasSubstr("the file must be an object"));
}

TEST(JsonFields, RefusesWhatIsNotJson) {
  EXPECT_THAT(ErrorOf(""), HasSubstr("f.json: not valid JSON"));
  EXPECT_THAT(ErrorOf(R"({"name": "a")"), HasSubstr("not valid JSON"));
  EXPECT_THAT(ErrorOf(R"({"name": NaN})"), HasSubstr("not valid JSON"));
  EXPECT_THAT(ErrorOf(R"({"limits": {"x": 1e999}})"),
              HasSubstr("not valid JSON"));
  EXPECT_THAT(ErrorOf("{\"name\": \"\xff\"}"), HasSubstr("not valid JSON"));
  EXPECT_THAT(ErrorOf(R"({"name": "a", "name": "b"})"),
              HasSubstr("\"name\" stands twice"));
  // The same key in sibling objects is no repetition.
  EXPECT_EQ(ErrorOf(R"({"name": "a", "parts": [{"keys": 1}, {"keys": 1}],
                        "inner": {"keys": 2}})"),
            "");
}

TEST(JsonFields, ErrorsAreOneLineWhateverTheText) {
  const std::string error = UserError("key \"a\nb\": bad").what();
  EXPECT_EQ(error, "key \"a b\": bad");
  EXPECT_LT(std::string(UserError(std::string(1 << 20, 'x')).what()).size(),
            size_t{1} << 15);
}

TEST(JsonFields, RefusesDeepAndWideText) {
  EXPECT_THAT(ErrorOf(std::string(100000, '[')), HasSubstr("nested deeper"));
  std::string wide = "{";
  for (size_t i = 0; i <= kMaxJsonKeys; ++i) {
    wide += "\"k" + std::to_string(i) + "\": 0,";
  }
  EXPECT_THAT(ErrorOf(wide), HasSubstr("more than"));
}

TEST(JsonFields, FilesThatCannotBeReadAreNamed) {
  EXPECT_THROW(ReadTextFile("no/such/file"), UserError);
  EXPECT_THROW(ReadTextFile(testing::TempDir()), UserError);
  const std::string path = testing::TempDir() + "/json_fields_test.txt";
  std::ofstream(path) << std::string(100, 'x');
  EXPECT_EQ(ReadTextFile(path, 100).size(), 100u);
  EXPECT_THROW(ReadTextFile(path, 99), UserError);
}

TEST(JsonFields, DescribesNestedFieldsAfterTheirParent) {
  std::vector<std::string> keys;
  for (const FieldDescription& field : DescribeFields<Outer>()) {
    keys.push_back(field.key);
    EXPECT_FALSE(field.description.empty());
    EXPECT_FALSE(field.type.empty());
  }
  EXPECT_THAT(keys, testing::ElementsAre("name", "on", "small", "seed", "parts",
                                         "limits", "inner", "inner.keys",
                                         "inner.scale", "anything"));
  EXPECT_TRUE(DescribeFields<Outer>()[0].required);
  EXPECT_EQ(DescribeFields<Outer>()[2].default_value, Json(1));
}

}  // namespace
}  // namespace rattn
