#include "tasks/chat/chat_template.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "models/scratch_folder.h"
#include "models/source_folder.h"

namespace rattn {
namespace {

using testing::HasSubstr;
using testing::ThrowsMessage;

std::string Render(const std::string& text,
                   const std::vector<ChatMessage>& messages = {{"user", "u"}}) {
  return ChatTemplate(text, "t", {{"bos_token", "<s>"}, {"eos_token", "</s>"}})
      .Render(messages);
}

void ExpectError(const std::string& text, const std::string& part) {
  EXPECT_THAT([&] { Render(text); }, ThrowsMessage<UserError>(HasSubstr(part)))
      << text;
}

// Templates with the constructs of published ones, rendered by transformers
// 4.57.1 with jinja2 3.1.6; null where the template raised an exception.
TEST(ChatTemplateTest, RendersAsTransformers) {
  const Json golden =
      ReadJsonFile(SourceFolder() / "tasks/chat/testdata/renderings.json");
  int refused = 0;
  for (const Json& one : golden["renderings"]) {
    const std::string name = one["name"];
    const std::string text = golden["templates"][name];
    std::vector<ChatMessage> messages;
    for (const Json& message : one["messages"]) {
      messages.push_back({message["role"], message["content"]});
    }
    if (one["rendered"].is_null()) {
      EXPECT_THROW(Render(text, messages), ChatRefusal) << name;
      ++refused;
    } else {
      EXPECT_EQ(Render(text, messages), one["rendered"]) << name;
    }
  }
  EXPECT_GT(refused, 0);
}

TEST(ChatTemplateTest, RefusesWhatItDoesNotKnow) {
  ExpectError("a\n{% macro f() %}{% endmacro %}",
              "t:2: the statement 'macro' is not supported");
  ExpectError("{{ messages | tojson }}", "t:1: the filter 'tojson'");
  ExpectError("{{ 'a'.title() }}", "the method 'title' is not supported");
  ExpectError("{{ strftime_now('%d') }}", "the function 'strftime_now'");
  ExpectError("{{ 1 is divisibleby(2) }}", "the test 'divisibleby'");
  ExpectError("{% for m in messages if m %}{% endfor %}", "'for .. if'");
  ExpectError("{% for a, b in messages %}{% endfor %}", "'in' is missing");
  ExpectError("{{ 2 ** 3 }}", "not supported");
  ExpectError("{{ messages }}", "printing does not take a list");
  // Only what is reached counts.
  EXPECT_EQ(Render("{% if tools %}{{ tools | tojson }}{% endif %}x"), "x");
}

TEST(ChatTemplateTest, SaysWhereATemplateIsWrong) {
  ExpectError("a\nb {{ 'x }}", "t:2: a tag is not closed");
  ExpectError("{% if true %}\nx", "t:2: 'endif' is missing");
  ExpectError("{% for m in messages %}{% endif %}", "'endfor' is missing");
  ExpectError("{% endif %}", "'endif' has no beginning");
  ExpectError("{{ missing.x }}", "does not take undefined");
  ExpectError("{{ 'a' + 1 }}", "+ does not take");
  ExpectError("{{ }}", "an expression is missing");
  ExpectError("{{" + std::string(1000, '(') + "}}", "nested too deep");
}

TEST(ChatTemplateTest, EndsEarly) {
  std::string loops = "{% set ns = namespace(t='0123456789') %}";
  for (int i = 0; i < 30; ++i) loops += "{% for m in [1, 2, 3] %}";
  const std::string ends = [] {
    std::string text;
    for (int i = 0; i < 30; ++i) text += "{% endfor %}";
    return text;
  }();
  ExpectError(loops + ends, "takes too long");
  ExpectError(loops + "{% set ns.t = ns.t + ns.t %}" + ends, "too long");
}

TEST(ChatTemplateTest, IsFoundInATokenizersFiles) {
  const ScratchFolder folder;
  EXPECT_THAT([&] { ChatTemplate::Load(folder.path()); },
              ThrowsMessage<UserError>(HasSubstr("has no chat template")));
  folder.Write("tokenizer_config.json",
               R"({"bos_token": {"content": "<b>"}, "chat_template":
                   [{"name": "tool_use", "template": "t"},
                    {"name": "default", "template": "{{ bos_token }}d"}]})");
  EXPECT_EQ(ChatTemplate::Load(folder.path()).Render({}), "<b>d");
  folder.Write("chat_template.jinja", "{{ bos_token }}f");
  EXPECT_EQ(ChatTemplate::Load(folder.path()).Render({}), "<b>f");
}

}  // namespace
}  // namespace rattn
