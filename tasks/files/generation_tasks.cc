// Tasks with free answers: generated ones, and WebQuestions as lm-eval scores
// it (greedy continuations).
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "models/config_files.h"
#include "models/error.h"
#include "models/sha256.h"
#include "tasks/files/answer_text.h"
#include "tasks/files/text_task_loaders.h"
#include "tasks/python_text.h"

namespace rattn {
namespace {

constexpr std::string_view kChatEnd = "<|im_end|>";

TextDocument Gsm8kDocument(const DataRow& row) {
  TextDocument document;
  document.row = {{"question", row.Text("question")},
                  {"answer", row.Text("answer")}};
  document.text = QuestionLines(row.Text("question"));
  document.target = row.Text("answer");
  document.target_text = document.target;
  document.references = {document.target};
  return document;
}

std::string CotPrompt(std::string_view question) {
  return fmt::format("Q: {}\nA:", question);
}

TextDocument Gsm8kCotDocument(const DataRow& row) {
  TextDocument document = Gsm8kDocument(row);
  document.text = CotPrompt(row.Text("question"));
  const std::string answer = row.Text("answer");
  const size_t mark = answer.rfind("####");
  document.target = PythonStrip(std::string_view(answer).substr(
      mark == std::string::npos ? 0 : mark + 4));
  document.target_text = document.target;
  document.references = {document.target};
  return document;
}

template <typename MakeDocument>
std::vector<TextDocument> Documents(const std::vector<DataRow>& rows,
                                    MakeDocument make) {
  std::vector<TextDocument> documents;
  documents.reserve(rows.size());
  for (const DataRow& row : rows) documents.push_back(make(row));
  return documents;
}

TextDocument TriviaQaDocument(const DataRow& row) {
  TextDocument document;
  document.row = row.json();
  // lm-eval appends the question mark that the questions already have.
  document.text = QuestionLines(row.Text("question") + "?");
  document.references = row.Object("answer").Texts("aliases");
  if (document.references.empty()) row.Fail("\"aliases\" is empty");
  document.target = document.references.front();
  document.target_text = PythonRepr(document.references);
  return document;
}

std::string_view Unquoted(std::string_view text) {
  const bool quoted =
      text.size() >= 2 && text.starts_with('"') && text.ends_with('"');
  return quoted ? text.substr(1, text.size() - 2) : text;
}

// Answers of (list (description "A b") (description C)). Quotes inside quotes
// are not escaped in the data.
std::vector<std::string> ParseTargetValue(const DataRow& row) {
  constexpr std::string_view kHead = "(list (description ";
  constexpr std::string_view kBetween = ") (description ";
  constexpr std::string_view kTail = "))";
  const std::string value = row.Text("targetValue");
  if (!value.starts_with(kHead) || !value.ends_with(kTail) ||
      value.size() < kHead.size() + kTail.size()) {
    row.Fail("\"targetValue\" must be (list (description ..) ..)");
  }
  std::string_view rest(value);
  rest.remove_prefix(kHead.size());
  rest.remove_suffix(kTail.size());
  std::vector<std::string> answers;
  for (size_t end; (end = rest.find(kBetween)) != std::string_view::npos;) {
    answers.emplace_back(Unquoted(rest.substr(0, end)));
    rest.remove_prefix(end + kBetween.size());
  }
  answers.emplace_back(Unquoted(rest));
  return answers;
}

TextDocument WebQuestion(const DataRow& row,
                         const std::vector<std::string>& answers) {
  TextDocument document;
  document.row = {{"url", row.Text("url")},
                  {"question", row.Text("utterance")},
                  {"answers", answers}};
  document.text = QuestionLines(row.Text("utterance"));
  return document;
}

// lm-eval: every answer is a right choice; one that begins with a kept one
// before it in sorted order adds nothing to "any is the greedy continuation".
TextDocument WebQuestionChoices(const DataRow& row) {
  std::vector<std::string> answers = ParseTargetValue(row);
  std::sort(answers.begin(), answers.end());
  TextDocument document = WebQuestion(row, answers);
  for (const std::string& answer : answers) {
    if (document.choices.empty() ||
        !answer.starts_with(document.choices.back())) {
      document.gold.push_back(document.choices.size());
      document.choices.push_back(answer);
    }
  }
  document.target = document.choices.front();
  document.target_text = Json(document.gold).dump();
  document.target_text = ReplaceAll(document.target_text, ",", ", ");
  return document;
}

TextDocument WebQuestionGenerative(const DataRow& row) {
  const std::vector<std::string> answers = ParseTargetValue(row);
  TextDocument document = WebQuestion(row, answers);
  document.references = answers;
  document.target = answers.front();
  document.target_text = PythonRepr(answers);
  return document;
}

constexpr const char* kWebTest = "webquestions/webquestions.examples.test.json";
constexpr const char* kWebTrain =
    "webquestions/webquestions.examples.train.json";

}  // namespace

void LoadGsm8k(DataFolder* data, TextTask* task) {
  task->shot_source = data->Find({"gsm8k/train.jsonl"});
  task->documents =
      Documents(data->Jsonl(data->Find({"gsm8k/test.jsonl"})), Gsm8kDocument);
  task->shots = Documents(data->Jsonl(task->shot_source), Gsm8kDocument);
  task->generation = {{"until", {"Question:", "</s>", kChatEnd}},
                      {"do_sample", false},
                      {"temperature", 0.0}};
  task->filters = {{"strict-match", NumberAfterHashes},
                   {"flexible-extract", LastNumber}};
  task->normalize = NormalizeNumbers;
}

void LoadGsm8kCot(DataFolder* data, TextTask* task) {
  task->documents = Documents(data->Jsonl(data->Find({"gsm8k/test.jsonl"})),
                              Gsm8kCotDocument);
  const std::string path = FindConfig("prompts", "gsm8k_cot");
  const std::string text = ReadTextFile(path);
  task->shot_source = "configs/prompts/gsm8k_cot.json";
  task->file_hashes[task->shot_source] = Sha256Hex(text);
  const DataRow prompts(ParseJsonText(text, path), path);
  for (const DataRow& row : prompts.Objects("shots")) {
    TextDocument shot;
    shot.row = row.json();
    shot.text = CotPrompt(row.Text("question"));
    shot.target = row.Text("target");
    task->shots.push_back(std::move(shot));
  }
  task->sampler = ShotSampler::kFirst;
  task->generation = {{"do_sample", false},
                      {"until", {"Q:", "</s>", kChatEnd}}};
  task->filters = {{"strict-match", NumberAfterTheAnswerIs},
                   {"flexible-extract", LastNumber}};
  task->normalize = NormalizeNumbers;
}

void LoadTriviaQa(DataFolder* data, TextTask* task) {
  const std::string name =
      data->Find({"triviaqa/rc.nocontext_validation.jsonl",
                  "triviaqa/rc.wikipedia.nocontext_validation.jsonl"});
  task->documents = Documents(data->Jsonl(name), TriviaQaDocument);
  const std::string train = "triviaqa/rc.nocontext_train.jsonl";
  if (data->Has(train)) {
    task->shots = Documents(data->Jsonl(train), TriviaQaDocument);
    task->shot_source = train;
  } else {
    task->shots = task->documents;
    task->shot_source = name;
  }
  task->generation = {
      {"until", {"\n", ".", ","}}, {"do_sample", false}, {"temperature", 0.0}};
  task->filters = {{"remove_whitespace", StripAnswer}};
  task->normalize = NormalizePunctuation;
}

void LoadWebQuestions(DataFolder* data, TextTask* task) {
  task->documents =
      Documents(data->JsonArray(data->Find({kWebTest})), WebQuestionChoices);
}

void LoadWebQuestionsGenerative(DataFolder* data, TextTask* task) {
  task->documents =
      Documents(data->JsonArray(data->Find({kWebTest})), WebQuestionGenerative);
  task->shot_source = data->Find({kWebTrain});
  task->shots =
      Documents(data->JsonArray(task->shot_source), WebQuestionGenerative);
  task->generation = {
      {"until", {"\n"}}, {"do_sample", false}, {"max_gen_toks", 64}};
  task->filters = {{"remove_whitespace", StripAnswer}};
  task->normalize = NormalizePunctuation;
}

}  // namespace rattn
