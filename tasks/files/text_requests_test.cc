#include "tasks/files/text_requests.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "models/error.h"
#include "models/sha256.h"
#include "tasks/files/text_task_loaders.h"

namespace rattn {
namespace {

using testing::HasSubstr;
using testing::ThrowsMessage;

TextTask NumberedTask(size_t shots) {
  TextTask task;
  task.name = "numbered";
  for (size_t i = 0; i < shots; ++i) {
    task.shots.push_back(ChoiceDocument({{"i", i}}, "q" + std::to_string(i),
                                        {"yes", "no"}, i % 2));
  }
  task.documents = task.shots;
  return task;
}

std::vector<int64_t> Drawn(ShotDrawer* drawer, int64_t index) {
  std::vector<int64_t> numbers;
  for (const TextDocument* shot : drawer->Draw(index)) {
    numbers.push_back(shot->row["i"].get<int64_t>());
  }
  return numbers;
}

// random.Random(1234).sample(range(7473), 8).
TEST(TextRequestsTest, FirstDrawIsPythons) {
  const TextTask task = NumberedTask(7473);
  ShotDrawer drawer(task, {8});
  EXPECT_EQ(Drawn(&drawer, 0),
            (std::vector<int64_t>{6374, 3610, 957, 61, 742, 7462, 6610, 4769}));
}

// random.Random(1234).sample(range(5), 5) = 3 0 4 2 1.
TEST(TextRequestsTest, DocumentItselfIsLeftOut) {
  TextTask task = NumberedTask(5);
  task.leave_one_out = true;
  ShotDrawer last_left_out(task, {4});
  EXPECT_EQ(Drawn(&last_left_out, 1), (std::vector<int64_t>{3, 0, 4, 2}));
  ShotDrawer left_out(task, {4});
  EXPECT_EQ(Drawn(&left_out, 0), (std::vector<int64_t>{3, 4, 2, 1}));
  EXPECT_THAT([&] { ShotDrawer(task, {5}); },
              ThrowsMessage<UserError>(HasSubstr("the most are 4")));
}

TEST(TextRequestsTest, OnlyTheStreamDependsOnWhatCameBefore) {
  const TextTask task = NumberedTask(50);
  const auto after = [&](ShotOrder order, bool skip) {
    ShotDrawer drawer(task, {5, 1234, order});
    if (!skip) Drawn(&drawer, 0);
    return Drawn(&drawer, 1);
  };
  EXPECT_NE(after(ShotOrder::kLmEval, false), after(ShotOrder::kLmEval, true));
  EXPECT_EQ(after(ShotOrder::kPerDocument, false),
            after(ShotOrder::kPerDocument, true));
  ShotDrawer drawer(task, {5, 1234, ShotOrder::kPerDocument});
  EXPECT_NE(Drawn(&drawer, 2), Drawn(&drawer, 3));
}

TEST(TextRequestsTest, PromptsJoinShotsAndChoices) {
  TextTask task = NumberedTask(2);
  task.description = "D\n\n";
  const auto requests = MakeRequests(
      task, task.documents[0], {&task.shots[0], &task.shots[1]}, {}, nullptr);
  ASSERT_EQ(requests.size(), 2u);
  EXPECT_EQ(*requests[0].context, "D\n\nq0 yes\n\nq1 no\n\nq0");
  EXPECT_EQ(requests[0].context, requests[1].context);
  EXPECT_EQ(requests[0].continuation, " yes");
  EXPECT_EQ(requests[1].continuation, " no");
}

TEST(TextRequestsTest, ShotsAreDroppedFromTheEndOfTheList) {
  TextTask task = NumberedTask(2);
  task.most_prompt_tokens = 12;
  const auto requests =
      MakeRequests(task, task.documents[0], {&task.shots[1], &task.shots[0]},
                   {}, [](const std::string& text) {
                     return static_cast<int64_t>(text.size());
                   });
  EXPECT_EQ(*requests[0].context, "q1 no\n\nq0");
}

TEST(TextRequestsTest, PartialScoringPutsChoicesIntoThePrompt) {
  TextTask task;
  TextDocument document;
  document.inputs = document.choices = {"so Ann", "so Bo"};
  document.target = "won.";
  document.gold = {1};
  task.documents = {document};
  const auto requests = MakeRequests(task, document, {&document}, {}, nullptr);
  ASSERT_EQ(requests.size(), 2u);
  EXPECT_EQ(*requests[0].context, "so Bo won.\n\nso Ann");
  EXPECT_EQ(*requests[1].context, "so Bo won.\n\nso Bo");
  EXPECT_EQ(requests[0].continuation, " won.");
}

// The layouts of lm-eval's fewshot_context with its messages joined.
TEST(TextRequestsTest, ConversationsHoldShotsInOneMessageOrInTurns) {
  const ChatTemplate letters(
      "{% for m in messages %}<{{ m.role }}:{{ m.content }}>{% endfor %}A:",
      "t", Json::object());
  TextTask task = NumberedTask(2);
  task.description = "D\n\n";
  const auto prompt = [&](const PromptFormat& format) {
    const auto requests = MakeRequests(task, task.documents[0],
                                       {&task.shots[1]}, {}, nullptr, format);
    EXPECT_EQ(requests[0].continuation, "yes");
    return *requests[0].context;
  };
  EXPECT_EQ(prompt(ChatFormat(letters, "", false)),
            "<system:D\n\n><user:q1 no\n\nq0>A:");
  EXPECT_EQ(prompt(ChatFormat(letters, "S", true)),
            "<system:S\n\nD\n\n><user:q1><assistant:no><user:q0>A:");
  const ChatTemplate no_system(
      "{% if messages[0].role == 'system' %}{{ raise_exception('no') }}"
      "{% endif %}{{ messages[0].content }}",
      "t", Json::object());
  EXPECT_EQ(prompt(ChatFormat(no_system, "S", false)), "q1 no\n\nq0");
  EXPECT_EQ(PromptHead(task, {&task.shots[1]}, "S"), "S\n\nD\n\nq1 no\n\n");
}

TEST(TextRequestsTest, KeysTellRequestsApart) {
  const auto context = std::make_shared<const std::string>("ab");
  const TextRequest one{context, "c"};
  TextRequest generation{context};
  generation.generate = true;
  generation.max_new_tokens = 4;
  const std::string key = RequestKey(one, "m");
  EXPECT_EQ(key.size(), 64u);
  EXPECT_EQ(key,
            RequestKey({std::make_shared<const std::string>("ab"), "c"}, "m"));
  EXPECT_NE(key, RequestKey(one, "n"));
  EXPECT_NE(key,
            RequestKey({std::make_shared<const std::string>("a"), "bc"}, "m"));
  const std::string generated = RequestKey(generation, "m");
  generation.stops = {"x"};
  EXPECT_NE(generated, RequestKey(generation, "m"));
}

TEST(TextRequestsTest, GenerationSettingsAreChecked) {
  EXPECT_EQ(StopStrings({{"until", "x"}}), std::vector<std::string>{"x"});
  EXPECT_EQ(MostNewTokens({{"max_gen_toks", 7}}), 7);
  EXPECT_EQ(MostNewTokens(Json::object()), 256);
  EXPECT_THROW(StopStrings({{"do_sample", true}}), UserError);
  EXPECT_THROW(StopStrings({{"temperature", 0.7}}), UserError);
  EXPECT_THROW(StopStrings({{"until", {1}}}), UserError);
  EXPECT_THROW(MostNewTokens({{"max_gen_toks", 0}}), UserError);
}

}  // namespace
}  // namespace rattn
