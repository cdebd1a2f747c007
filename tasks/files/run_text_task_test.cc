#include "tasks/files/run_text_task.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <map>

#include "models/error.h"
#include "tasks/files/answer_text.h"
#include "tasks/files/fake_text_model.h"
#include "tasks/files/text_task_loaders.h"

namespace rattn {
namespace {

using testing::HasSubstr;
using testing::ThrowsMessage;

TextTask ChoiceTask(size_t documents) {
  TextTask task;
  task.name = task.alias = "choice";
  task.version = 1.0;
  task.metrics = {"acc", "acc_norm", "acc_bytes"};
  for (size_t i = 0; i < documents; ++i) {
    // Characters tell the choices apart otherwise than bytes do.
    task.documents.push_back(ChoiceDocument({{"i", i}}, "q" + std::to_string(i),
                                            {"aaaa", "éééé"}, i % 2));
  }
  return task;
}

TextTask GenerationTask() {
  TextTask task;
  task.name = task.alias = "generation";
  task.version = 1.0;
  task.output = OutputKind::kGenerate;
  task.metrics = {"exact_match"};
  task.generation = {{"until", {"."}}, {"max_gen_toks", 16}};
  task.filters = {{"stripped", StripAnswer}};
  task.normalize = NormalizePunctuation;
  TextDocument document;
  document.row = {{"q", 1}};
  document.text = "Q:";
  document.references = {"no", "The Answer!"};
  task.documents = {document};
  return task;
}

class MapStore : public AnswerStore {
 public:
  std::optional<TextAnswer> Find(const std::string& key,
                                 const TextRequest&) override {
    const auto found = answers_.find(key);
    if (found == answers_.end()) return std::nullopt;
    return found->second;
  }
  void Add(const std::string& key, const TextAnswer& answer) override {
    answers_[key] = answer;
  }
  std::map<std::string, TextAnswer> answers_;
};

double LastByte(const ScoreRequest& request) {
  return request.continuation.back() == 'a' ? -12.0 : -10.0;
}

TEST(RunTextTaskTest, NormalisesByCharactersOrBytes) {
  TextTask task = ChoiceTask(2);
  task.documents[0].choices = task.documents[1].choices = {"aaaaaa", "ééééé"};
  const FakeScoringModel model(LastByte);
  const auto result = RunTextTask(task, ByteTokenizer(), model, {});
  // Sums -12, -10; per character -2, -2: the first wins; per byte -2, -1.
  ASSERT_EQ(result.metrics.size(), 3u);
  TextEvalOptions first;
  first.samples = {0};
  const auto of_first = RunTextTask(task, ByteTokenizer(), model, first);
  EXPECT_EQ(of_first.metrics[0].estimate.value, 0);
  EXPECT_EQ(of_first.metrics[1].estimate.value, 1);
  EXPECT_EQ(of_first.metrics[2].estimate.value, 0);
  EXPECT_EQ(result.metrics[0].estimate.value, 0.5);
  EXPECT_FALSE(of_first.metrics[0].estimate.standard_error.has_value());
}

TEST(RunTextTaskTest, AStoppedRunGoesOnFromItsAnswers) {
  const TextTask task = ChoiceTask(4);
  const ByteTokenizer tokenizer;
  const FakeScoringModel whole_model(LastByte);
  TextEvalOptions options;
  options.log_samples = true;
  const auto whole = RunTextTask(task, tokenizer, whole_model, options);
  EXPECT_EQ(whole_model.asked(), 8);

  MapStore store;
  options.answers = &store;
  options.progress = [](int64_t done, int64_t) { return done < 3; };
  const FakeScoringModel model(LastByte);
  const auto stopped = RunTextTask(task, tokenizer, model, options);
  EXPECT_TRUE(stopped.stopped);
  EXPECT_TRUE(stopped.metrics.empty());
  EXPECT_EQ(store.answers_.size(), 3u);

  options.progress = nullptr;
  const auto resumed = RunTextTask(task, tokenizer, model, options);
  EXPECT_EQ(resumed.answered_before, 3);
  EXPECT_EQ(model.asked(), 8);
  EXPECT_EQ(resumed.samples, whole.samples);
  EXPECT_EQ(resumed.task_hash, whole.task_hash);

  options.model_key = "another model";
  RunTextTask(task, tokenizer, model, options);
  EXPECT_EQ(model.asked(), 16);
}

TEST(RunTextTaskTest, EqualRequestsAreAskedOnce) {
  TextTask task = ChoiceTask(3);
  for (TextDocument& document : task.documents) document.text = "same";
  const FakeScoringModel model(LastByte);
  const auto result = RunTextTask(task, ByteTokenizer(), model, {});
  EXPECT_EQ(model.asked(), 2);
  EXPECT_EQ(result.requests, 6);
  EXPECT_DOUBLE_EQ(result.metrics[0].estimate.value, 1.0 / 3);
}

TEST(RunTextTaskTest, ScoresThatAreNotFiniteFail) {
  const TextTask task = ChoiceTask(2);
  for (const double bad : {std::numeric_limits<double>::quiet_NaN(),
                           -std::numeric_limits<double>::infinity()}) {
    const FakeScoringModel model([bad](const ScoreRequest& request) {
      return request.context.back() == '1' ? bad : -1.0;
    });
    EXPECT_THAT(
        [&] { RunTextTask(task, ByteTokenizer(), model, {}); },
        ThrowsMessage<RunError>(HasSubstr("choice, document 1: the model")));
  }
}

TEST(RunTextTaskTest, GenerationEndsAtItsStopString) {
  const FakeScoringModel model(LastByte, " the answer. And so on");
  TextEvalOptions options;
  options.log_samples = true;
  const auto result =
      RunTextTask(GenerationTask(), ByteTokenizer(), model, options);
  EXPECT_EQ(result.metrics[0].estimate.value, 1);
  EXPECT_EQ(result.metrics[0].filter, "stripped");
  EXPECT_EQ(model.generated(), 12);
  EXPECT_EQ(result.samples[0]["resps"].dump(), "[[\" the answer\"]]");
  EXPECT_EQ(result.samples[0]["filtered_resps"].dump(), "[\"the answer\"]");
  options.generation = {{"max_gen_toks", 4}};
  const auto shorter =
      RunTextTask(GenerationTask(), ByteTokenizer(), model, options);
  EXPECT_EQ(shorter.samples[0]["resps"].dump(), "[[\" the\"]]");
}

TEST(RunTextTaskTest, SelectsDocuments) {
  const TextTask task = ChoiceTask(7);
  TextEvalOptions options;
  EXPECT_EQ(SelectDocuments(task, options).size(), 7u);
  options.limit = 0.5;
  EXPECT_EQ(SelectDocuments(task, options).size(), 4u);
  options.limit = 1.0;
  EXPECT_EQ(SelectDocuments(task, options).size(), 1u);
  options.limit = 100;
  EXPECT_EQ(SelectDocuments(task, options).size(), 7u);
  options.limit = 0;
  EXPECT_THROW(SelectDocuments(task, options), UserError);
  options.limit.reset();
  options.samples = {7};
  EXPECT_THROW(SelectDocuments(task, options), UserError);
}

}  // namespace
}  // namespace rattn
