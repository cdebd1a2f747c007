#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "models/error.h"
#include "models/model_config.h"
#include "tasks/task.h"

namespace rattn {
namespace {

TEST(TaskList, EveryTaskIsMadeByItsName) {
  std::set<std::string_view> names;
  for (const TaskEntry& entry : TaskList()) {
    EXPECT_TRUE(names.insert(entry.name).second) << entry.name;
    EXPECT_FALSE(entry.summary.empty());
    if (entry.name == "text") continue;  // needs a file
    const auto task = MakeTask(std::string(entry.name), "");
    EXPECT_EQ(task->name(), entry.name);
    EXPECT_FALSE(task->Show(0, 0, 0).empty());
    const Batch batch = task->TrainBatch(0, 4);
    EXPECT_EQ(batch.rows, 4);
    EXPECT_EQ(batch.length, task->train_length());
    for (const int32_t token : batch.tokens) {
      ASSERT_GE(token, 0);
      ASSERT_LT(token, task->vocab_size());
    }
  }
  EXPECT_EQ(names.size(), 16u);
}

TEST(TaskList, TinyModelsKnowTheirTasksTokens) {
  const auto vocab = [](const char* model) {
    return LoadModelConfig(model).vocab_size;
  };
  EXPECT_EQ(vocab("tiny-recall"), MakeTask("two_hop", "")->vocab_size());
  EXPECT_EQ(vocab("tiny-ruler"), MakeTask("ruler", "")->vocab_size());
  EXPECT_EQ(vocab("tiny-facts"), MakeTask("facts", "")->vocab_size());
  EXPECT_EQ(vocab("tiny-text"), 256);
}

// Indices come from the command line.
TEST(TaskList, NegativeIndexIsRefused) {
  for (const TaskEntry& entry : TaskList()) {
    if (entry.name == "text") continue;
    const auto task = MakeTask(std::string(entry.name), "");
    EXPECT_THROW(task->Show(0, -3, 0), UserError) << entry.name;
  }
}

TEST(TaskList, UnknownNameGetsTheNearest) {
  try {
    MakeTask("rulr", "");
    FAIL() << "made";
  } catch (const UserError& error) {
    EXPECT_THAT(error.what(), ::testing::HasSubstr("\"ruler\""));
  }
}

}  // namespace
}  // namespace rattn
