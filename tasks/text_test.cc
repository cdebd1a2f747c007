#include "tasks/text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>

#include "kernels/random.h"
#include "models/error.h"
#include "models/json_fields.h"
#include "tasks/fake_model.h"

namespace rattn {
namespace {

using ::testing::HasSubstr;

class TextTest : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::path(::testing::TempDir()) /
              ::testing::UnitTest::GetInstance()->current_test_info()->name();
    std::filesystem::create_directories(folder_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::string Write(const std::string& name, const std::string& text) {
    const std::string path = (folder_ / name).string();
    std::ofstream(path, std::ios::binary) << text;
    return path;
  }
  static std::string RandomText(size_t bytes) {
    PhiloxSequence random(1, 2);
    std::string text(bytes, ' ');
    for (char& byte : text) byte = static_cast<char>(random.Below(256));
    return text;
  }
  static std::unique_ptr<Task> Make(const std::string& train,
                                    const std::string& valid, Json more = {}) {
    Json params = {{"train_file", train}, {"valid_file", valid}};
    if (more.is_object()) params.update(more);
    return MakeText(params.dump());
  }
  static EvalOptions Options(int64_t length, int64_t samples) {
    return {.length = length,
            .samples = samples,
            .seed = 0,
            .batch = 3,
            .progress = {}};
  }
  static std::map<std::string, Score> Evaluate(const Task& task,
                                               const FakeModel& model,
                                               int64_t length,
                                               int64_t samples) {
    std::map<std::string, Score> scores;
    for (const Score& score :
         task.Evaluate(model, Options(length, samples)).scores) {
      scores[score.key] = score;
    }
    return scores;
  }

  std::filesystem::path folder_;
};

const FakeModel& Uniform() {
  static const FakeModel model(
      256, [](FakeModel::Prefix) { return std::vector<float>(256, 0.5f); });
  return model;
}

TEST_F(TextTest, TrainingRowsAreShiftedPiecesOfTheFile) {
  const std::string text = RandomText(500);
  const auto task =
      Make(Write("a", text), Write("b", text), {{"train_length", 32}});
  EXPECT_EQ(task->vocab_size(), 256);
  const Batch batch = task->TrainBatch(4, 50);
  EXPECT_EQ(batch.length, 32);
  for (int64_t row = 0; row < 50; ++row) {
    std::string tokens, targets;
    for (int64_t i = 0; i < 32; ++i) {
      tokens += static_cast<char>(batch.tokens[row * 32 + i]);
      targets += static_cast<char>(batch.targets[row * 32 + i]);
    }
    const size_t at = text.find(tokens);
    ASSERT_NE(at, std::string::npos);
    EXPECT_EQ(text.substr(at + 1, 32), targets);
  }
  EXPECT_EQ(task->TrainBatch(4, 50).tokens, batch.tokens);
  EXPECT_NE(task->TrainBatch(5, 50).tokens, batch.tokens);
}

TEST_F(TextTest, ShortestPossibleFileTrains) {
  const auto task =
      Make(Write("a", std::string(33, 'x')), Write("b", std::string(33, 'x')),
           {{"train_length", 32}});
  EXPECT_EQ(task->TrainBatch(0, 2).targets, std::vector<int32_t>(64, 'x'));
}

TEST_F(TextTest, EndOfTrainFileIsHeldOut) {
  std::string text(950, 'a');
  text += std::string(50, 'b');
  const auto task = MakeText(
      Json{{"train_file", Write("a", text)}, {"train_length", 10}}.dump());
  for (int64_t step = 0; step < 50; ++step) {
    const Batch batch = task->TrainBatch(step, 64);
    EXPECT_EQ(std::count(batch.targets.begin(), batch.targets.end(), 'b'), 0);
  }
  const FakeModel knows_b =
      FakeModel::Certain(256, [](FakeModel::Prefix) { return 'b'; });
  EXPECT_LT(Evaluate(*task, knows_b, 0, 100)["bits_per_byte"].value, 1e-6);
}

TEST_F(TextTest, UniformModelTakesEightBits) {
  const auto task = Make(Write("a", RandomText(300)),
                         Write("b", RandomText(2000)), {{"window_keys", 16}});
  const auto scores = Evaluate(*task, Uniform(), 100, 1000);
  const Score& all = scores.at("bits_per_byte");
  EXPECT_NEAR(all.value, 8, 1e-6);
  EXPECT_NEAR(all.standard_error, 0, 1e-6);
  EXPECT_EQ(all.chance, 8);
  EXPECT_FALSE(all.higher_is_better);
  EXPECT_EQ(all.n, 1900);  // 19 whole rows with a byte after them
  EXPECT_EQ(scores.at("bits_per_byte.position_1_32").n, 19 * 32);
  EXPECT_EQ(scores.at("bits_per_byte.position_33_128").n, 19 * 68);
  EXPECT_EQ(scores.at("bits_per_byte.within_window").n, 19 * 16);
  EXPECT_EQ(scores.at("bits_per_byte.beyond_window").n, 19 * 84);
}

// A model that knows the right byte only where everything is in its window.
TEST_F(TextTest, BucketsSeparateWithinAndBeyond) {
  std::string text = RandomText(3000);
  // Rows are told apart by their first byte.
  for (int i = 0; i < 60; ++i) text[i * 50] = static_cast<char>(i);
  const auto task = Make(Write("a", text), Write("b", text),
                         {{"window_keys", 20}, {"train_length", 50}});
  const FakeModel model(256, [&](FakeModel::Prefix prefix) {
    std::vector<float> logits(256, 0.0f);
    if (prefix.size() <= 20) {
      std::string bytes(prefix.begin(), prefix.end());
      // Rows begin at multiples of the length.
      for (size_t row = 0; row + 51 <= text.size(); row += 50) {
        if (text.compare(row, bytes.size(), bytes) == 0) {
          logits[static_cast<unsigned char>(text[row + bytes.size()])] = 40;
          break;
        }
      }
    }
    return logits;
  });
  const auto scores = Evaluate(*task, model, 0, 20);
  EXPECT_LT(scores.at("bits_per_byte.within_window").value, .1);
  EXPECT_NEAR(scores.at("bits_per_byte.beyond_window").value, 8, 1e-6);
  EXPECT_NEAR(scores.at("bits_per_byte").value, 8 * 30 / 50.0, .05);
}

TEST_F(TextTest, RepeatsAreSplitByDistance) {
  // Bytes 0..19 come again after 30 others: their continuations stand 50 back.
  std::string row;
  for (int i = 0; i < 50; ++i) row += static_cast<char>(i);
  row += row.substr(0, 20);
  const std::string text = row + "Z";
  const auto near = Make(Write("a", text), Write("b", text),
                         {{"window_keys", 50}, {"train_length", 70}});
  // Places 57..69 end 8 repeated bytes; the latest continuation is 49 back.
  auto scores = Evaluate(*near, Uniform(), 70, 1);
  EXPECT_EQ(scores.at("bits_per_byte.repeat_within_window").n, 13);
  EXPECT_FALSE(scores.contains("bits_per_byte.repeat_beyond_window"));
  const auto far = Make(Write("a", text), Write("b", text),
                        {{"window_keys", 49}, {"train_length", 70}});
  scores = Evaluate(*far, Uniform(), 70, 1);
  EXPECT_EQ(scores.at("bits_per_byte.repeat_beyond_window").n, 13);
  EXPECT_FALSE(scores.contains("bits_per_byte.repeat_within_window"));
  EXPECT_EQ(near->Fingerprint(), far->Fingerprint());
}

TEST_F(TextTest, FewSamplesSpreadOverTheFile) {
  std::string text;
  for (int i = 0; i < 101; ++i) text += std::string(10, static_cast<char>(i));
  const auto task =
      Make(Write("a", text), Write("b", text), {{"train_length", 10}});
  const EvalResult result = task->Evaluate(Uniform(), Options(0, 4));
  std::vector<int64_t> offsets;
  for (const std::string& line : result.sample_jsonl) {
    offsets.push_back(Json::parse(line)["offset"].get<int64_t>());
  }
  EXPECT_EQ(offsets, (std::vector<int64_t>{0, 250, 500, 750}));
}

TEST_F(TextTest, ShowEscapesControlBytes) {
  const auto task =
      Make(Write("a", std::string("ab\0\x1b", 4) + "cdefghijk"),
           Write("b", std::string("ab\0\x1b", 4) + "c"), {{"train_length", 4}});
  EXPECT_EQ(task->Show(0, 0, 0), "ab\\x00\\x1bc\n");
}

TEST_F(TextTest, BadFilesAreNamed) {
  const auto error = [&](const std::string& train, const std::string& valid,
                         Json more) -> std::string {
    try {
      Make(train, valid, std::move(more))->Evaluate(Uniform(), Options(40, 1));
    } catch (const UserError& e) {
      return e.what();
    }
    return "no error";
  };
  const std::string good = Write("good", RandomText(400));
  const std::string empty = Write("empty", "");
  const std::string small = Write("small", RandomText(32));
  EXPECT_THAT(error("missing.txt", good, {}), HasSubstr("missing.txt"));
  EXPECT_THAT(error(good, "gone.txt", {}), HasSubstr("gone.txt"));
  EXPECT_THAT(error(folder_.string(), good, {}), HasSubstr("folder"));
  EXPECT_THAT(error(empty, good, {}), HasSubstr("gives 0 bytes"));
  EXPECT_THAT(error(small, good, {{"train_length", 32}}),
              HasSubstr("row of 32 needs 33"));
  EXPECT_THAT(error(good, small, {{"train_length", 16}}),
              HasSubstr("row of 40 needs 41"));
  EXPECT_THAT(error(good, good, {{"train_length", -1}}),
              HasSubstr("train_length"));
  EXPECT_THAT(error(good, "", {{"valid_share", 1.5}}),
              HasSubstr("valid_share"));
  EXPECT_THAT(error(good, good, {{"windowkeys", 4}}), HasSubstr("window_keys"));
  EXPECT_THROW(MakeText(""), UserError);
}

TEST_F(TextTest, BrokenModelIsNotScored) {
  const auto task = Make(Write("a", RandomText(400)),
                         Write("b", RandomText(90)), {{"train_length", 16}});
  const FakeModel broken(256, [](FakeModel::Prefix) {
    return std::vector<float>(256, std::nanf(""));
  });
  EXPECT_THROW(task->Evaluate(broken, Options(0, 1)), RunError);
}

}  // namespace
}  // namespace rattn
