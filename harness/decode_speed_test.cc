#include "harness/decode_speed.h"

#include <gtest/gtest.h>

#include "tasks/fake_model.h"

namespace rattn {
namespace {

TEST(DecodeSpeed, IsMeasuredBehindTheContextThatWasAskedFor) {
  const std::unique_ptr<Task> task = MakeTask("two_hop", "{}");
  const FakeModel model = FakeModel::Certain(
      task->vocab_size(), [](FakeModel::Prefix) { return 0; });
  CellResult result;
  AddCacheUse(model, *task, 200, 3, &result);
  ASSERT_EQ(result.metrics.size(), 3u);
  EXPECT_EQ(result.metrics[0].value, 200);  // the fake's bytes: its prompt
  EXPECT_NEAR(*result.metrics[2].value, 1000, 1e-6);
  EXPECT_EQ(result.detail["decode_context"], 200);
  EXPECT_GE(result.stats["n"], 7);
  EXPECT_EQ(result.samples.size(), result.stats["n"].get<size_t>());
}

TEST(DecodeSpeed, BytesAloneWithoutTokensToTime) {
  const std::unique_ptr<Task> task = MakeTask("two_hop", "{}");
  const FakeModel model = FakeModel::Certain(
      task->vocab_size(), [](FakeModel::Prefix) { return 0; });
  CellResult result;
  AddCacheUse(model, *task, 56, 0, &result);
  EXPECT_EQ(result.metrics.size(), 2u);
  EXPECT_TRUE(result.stats.is_null());
}

}  // namespace
}  // namespace rattn
