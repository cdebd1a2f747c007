// How the documents of each task are made of its files. Files are named as the
// data sets' authors do, in one folder a data set. Throws UserErrors that name
// what is missing or wrong.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "tasks/files/data_folder.h"
#include "tasks/files/text_task.h"

namespace rattn {

void LoadHellaSwag(DataFolder* data, TextTask* task);
void LoadPiqa(DataFolder* data, TextTask* task);
void LoadWinoGrande(DataFolder* data, TextTask* task);
void LoadArcEasy(DataFolder* data, TextTask* task);
void LoadArcChallenge(DataFolder* data, TextTask* task);
void LoadSciq(DataFolder* data, TextTask* task);
void LoadGemmaCppMmlu(DataFolder* data, TextTask* task);
void LoadLambada(DataFolder* data, TextTask* task);
void LoadTriviaQa(DataFolder* data, TextTask* task);
void LoadWebQuestions(DataFolder* data, TextTask* task);
void LoadWebQuestionsGenerative(DataFolder* data, TextTask* task);
void LoadGsm8k(DataFolder* data, TextTask* task);
void LoadGsm8kCot(DataFolder* data, TextTask* task);

// "Question: ..", line break, "Answer:".
std::string QuestionLines(std::string_view question);
// A document whose answer is one of `choices`.
TextDocument ChoiceDocument(Json row, std::string text,
                            std::vector<std::string> choices, size_t gold);

}  // namespace rattn
