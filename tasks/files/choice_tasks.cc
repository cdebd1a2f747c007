// Tasks that compare the likelihoods of given continuations.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "models/error.h"
#include "tasks/files/text_task_loaders.h"
#include "tasks/python_text.h"

namespace rattn {
namespace {

// re.sub(r"\[.*?\]", "", text): a line break ends the search for a bracket.
std::string RemoveBracketed(std::string_view text) {
  std::string kept;
  for (size_t at = 0; at < text.size();) {
    const size_t end =
        text[at] == '[' ? text.find_first_of("]\n", at) : std::string::npos;
    if (end != std::string::npos && text[end] == ']') {
      at = end + 1;
    } else {
      kept += text[at++];
    }
  }
  return kept;
}

std::string CleanHellaSwag(std::string_view text) {
  return ReplaceAll(
      RemoveBracketed(ReplaceAll(PythonStrip(text), " [title]", ". ")), "  ",
      " ");
}

TextDocument HellaSwagDocument(const DataRow& row) {
  const int64_t gold = row.Integer("label", 0, 3);
  const std::string context =
      row.Text("ctx_a") + " " + PythonCapitalize(row.Text("ctx_b"));
  std::string query =
      CleanHellaSwag(row.Text("activity_label") + ": " + context);
  std::vector<std::string> choices;
  for (const auto& ending : row.Texts("endings")) {
    choices.push_back(CleanHellaSwag(ending));
  }
  if (choices.size() != 4) row.Fail("\"endings\" must be 4");
  Json logged;
  for (const char* key : {"ind", "activity_label", "ctx_a", "ctx_b", "ctx",
                          "endings", "source_id", "split", "split_type"}) {
    if (row.Has(key)) logged[key] = row.json()[key];
  }
  logged["label"] = std::to_string(gold);
  logged["query"] = query;
  logged["choices"] = choices;
  logged["gold"] = gold;
  return ChoiceDocument(std::move(logged), std::move(query), std::move(choices),
                        static_cast<size_t>(gold));
}

std::vector<TextDocument> HellaSwagDocuments(const std::vector<DataRow>& rows) {
  std::vector<TextDocument> documents;
  for (const auto& row : rows) documents.push_back(HellaSwagDocument(row));
  return documents;
}

std::vector<TextDocument> PiqaDocuments(DataFolder* data,
                                        const std::string& split) {
  const std::string name = "piqa/" + split + ".jsonl";
  const std::string labels_name = "piqa/" + split + "-labels.lst";
  const auto rows = data->Jsonl(name);
  const auto labels = data->Labels(labels_name, 0, 1);
  if (rows.size() != labels.size()) {
    throw UserError(fmt::format("{} has {} rows, {} has {} labels",
                                data->Path(name), rows.size(), labels_name,
                                labels.size()));
  }
  std::vector<TextDocument> documents;
  for (size_t i = 0; i < rows.size(); ++i) {
    const DataRow& row = rows[i];
    Json logged = {{"goal", row.Text("goal")},
                   {"sol1", row.Text("sol1")},
                   {"sol2", row.Text("sol2")},
                   {"label", labels[i]}};
    documents.push_back(ChoiceDocument(
        std::move(logged), QuestionLines(row.Text("goal")),
        {row.Text("sol1"), row.Text("sol2")}, static_cast<size_t>(labels[i])));
  }
  return documents;
}

TextDocument WinoGrandeDocument(const DataRow& row) {
  const std::string sentence = row.Text("sentence");
  const size_t blank = sentence.find('_');
  if (blank == std::string::npos) row.Fail("\"sentence\" has no \"_\"");
  const std::string answer = row.Text("answer");
  if (answer != "1" && answer != "2") row.Fail("\"answer\" must be 1 or 2");
  TextDocument document;
  for (const char* key : {"option1", "option2"}) {
    document.inputs.push_back(sentence.substr(0, blank) + row.Text(key));
  }
  for (const char* key : {"sentence", "option1", "option2", "answer"}) {
    document.row[key] = row.json()[key];
  }
  document.gold = {answer == "1" ? size_t{0} : size_t{1}};
  document.target = PythonStrip(std::string_view(sentence).substr(blank + 1));
  document.target_text = document.target;
  document.choices = document.inputs;
  return document;
}

std::vector<TextDocument> WinoGrandeDocuments(
    const std::vector<DataRow>& rows) {
  std::vector<TextDocument> documents;
  for (const auto& row : rows) documents.push_back(WinoGrandeDocument(row));
  return documents;
}

TextDocument ArcDocument(const DataRow& row) {
  const DataRow question = row.Object("question");
  std::vector<std::string> texts, labels;
  for (const DataRow& choice : question.Objects("choices")) {
    texts.push_back(choice.Text("text"));
    labels.push_back(choice.Text("label"));
  }
  const std::string key = row.Text("answerKey");
  const auto gold = std::find(labels.begin(), labels.end(), key);
  if (gold == labels.end()) {
    row.Fail(fmt::format("\"answerKey\" {} is no choice's label", key));
  }
  const std::string stem = question.Text("stem");
  Json logged = {{"id", row.Text("id")},
                 {"question", stem},
                 {"choices", {{"text", texts}, {"label", labels}}},
                 {"answerKey", key}};
  return ChoiceDocument(std::move(logged), QuestionLines(stem),
                        std::move(texts),
                        static_cast<size_t>(gold - labels.begin()));
}

void LoadArc(const std::string& set, DataFolder* data, TextTask* task) {
  const auto documents = [&](const char* split) {
    const std::string name = fmt::format("arc/{}/{}-{}.jsonl", set, set, split);
    data->Find({name});
    std::vector<TextDocument> list;
    for (const auto& row : data->Jsonl(name)) list.push_back(ArcDocument(row));
    return list;
  };
  task->documents = documents("Test");
  task->shots = documents("Train");
  task->shot_source = fmt::format("arc/{}/{}-Train.jsonl", set, set);
}

std::vector<TextDocument> SciqDocuments(const std::vector<DataRow>& rows) {
  std::vector<TextDocument> documents;
  for (const auto& row : rows) {
    std::vector<std::string> choices;
    for (const char* key :
         {"distractor1", "distractor2", "distractor3", "correct_answer"}) {
      choices.push_back(row.Text(key));
    }
    Json logged;
    for (const char* key : {"question", "distractor3", "distractor1",
                            "distractor2", "correct_answer", "support"}) {
      logged[key] = row.Text(key);
    }
    std::string text(PythonLStrip(row.Text("support")));
    text += "\n" + QuestionLines(row.Text("question"));
    documents.push_back(ChoiceDocument(std::move(logged), std::move(text),
                                       std::move(choices), 3));
  }
  return documents;
}

// gemma/evals/mmlu.json of gemma.cpp: the prompts hold their shots.
TextDocument GemmaCppQuestion(const DataRow& row) {
  std::vector<std::string> choices;
  for (const std::string& option : row.Texts("options")) {
    choices.emplace_back(PythonStrip(option));
  }
  if (choices.empty()) row.Fail("\"options\" is empty");
  const auto most = static_cast<int64_t>(choices.size()) - 1;
  const auto gold = static_cast<size_t>(row.Integer("input_label", 0, most));
  Json logged = {{"i", row.Integer("i", 0, INT32_MAX)},
                 {"topic", row.Text("topic")},
                 {"options", choices},
                 {"input_label", gold}};
  return ChoiceDocument(std::move(logged), row.Text("prompt"),
                        std::move(choices), gold);
}

}  // namespace

std::string QuestionLines(std::string_view question) {
  return fmt::format("Question: {}\nAnswer:", question);
}

TextDocument ChoiceDocument(Json row, std::string text,
                            std::vector<std::string> choices, size_t gold) {
  TextDocument document;
  document.row = std::move(row);
  document.text = std::move(text);
  document.target = choices[gold];
  document.target_text = std::to_string(gold);
  document.choices = std::move(choices);
  document.gold = {gold};
  return document;
}

void LoadHellaSwag(DataFolder* data, TextTask* task) {
  const std::string name = data->Find({"hellaswag/hellaswag_val.jsonl"});
  task->documents = HellaSwagDocuments(data->Jsonl(name));
  task->shot_source = data->Find({"hellaswag/hellaswag_train.jsonl",
                                  "hellaswag/hellaswag_train_fewshot.jsonl"});
  task->shots = HellaSwagDocuments(data->Jsonl(task->shot_source));
}

void LoadPiqa(DataFolder* data, TextTask* task) {
  for (const char* name : {"piqa/valid.jsonl", "piqa/valid-labels.lst",
                           "piqa/train.jsonl", "piqa/train-labels.lst"}) {
    data->Find({name});
  }
  task->documents = PiqaDocuments(data, "valid");
  task->shots = PiqaDocuments(data, "train");
  task->shot_source = "piqa/train.jsonl";
}

void LoadWinoGrande(DataFolder* data, TextTask* task) {
  const std::string name = data->Find({"winogrande/dev.jsonl"});
  task->documents = WinoGrandeDocuments(data->Jsonl(name));
  // lm-eval draws from the largest one.
  task->shot_source =
      data->Find({"winogrande/train_xl.jsonl", "winogrande/train_l.jsonl",
                  "winogrande/train_m.jsonl", "winogrande/train_s.jsonl",
                  "winogrande/train_xs.jsonl"});
  task->shots = WinoGrandeDocuments(data->Jsonl(task->shot_source));
}

void LoadArcEasy(DataFolder* data, TextTask* task) {
  LoadArc("ARC-Easy", data, task);
}

void LoadArcChallenge(DataFolder* data, TextTask* task) {
  LoadArc("ARC-Challenge", data, task);
}

void LoadSciq(DataFolder* data, TextTask* task) {
  const std::string name = data->Find({"sciq/test.json"});
  task->documents = SciqDocuments(data->JsonArray(name));
  task->shot_source = data->Find({"sciq/train.json", "sciq/valid.json"});
  task->shots = SciqDocuments(data->JsonArray(task->shot_source));
}

void LoadGemmaCppMmlu(DataFolder* data, TextTask* task) {
  const std::string name = data->Find({"gemma_cpp_mmlu/mmlu.json"});
  const std::string path = data->Path(name);
  const DataRow file(ParseJsonText(data->Text(name), path), path);
  for (const DataRow& row : file.Objects("samples")) {
    task->documents.push_back(GemmaCppQuestion(row));
  }
}

void LoadLambada(DataFolder* data, TextTask* task) {
  const std::string name = data->Find({"lambada/lambada_test.jsonl"});
  for (const auto& row : data->Jsonl(name)) {
    const std::string text = row.Text("text");
    const size_t space = text.rfind(' ');
    TextDocument document;
    document.row["text"] = text;
    if (space == std::string::npos) {
      document.target = " " + text;
    } else {
      document.text = text.substr(0, space);
      document.target = text.substr(space);
    }
    document.target_text = document.target;
    task->documents.push_back(std::move(document));
  }
  // As lm-eval: a document may be its own shot.
  task->shots = task->documents;
  task->shot_source = name;
}

}  // namespace rattn
