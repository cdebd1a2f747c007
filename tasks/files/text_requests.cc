#include "tasks/files/text_requests.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "models/error.h"
#include "models/sha256.h"
#include "tasks/python_text.h"

namespace rattn {
namespace {

uint64_t DocumentSeed(const TextTask& task, uint64_t seed, int64_t index) {
  const std::string hash =
      Sha256Hex(fmt::format("{} {} {}", seed, task.name, index));
  return std::stoull(hash.substr(0, 16), nullptr, 16);
}

const std::string& PromptOf(const TextDocument& document, size_t choice) {
  return document.inputs.empty() ? document.text : document.inputs[choice];
}

// With its length, so that two requests never have one text.
void AddField(std::string_view field, std::string* text) {
  *text += fmt::format("{}:", field.size());
  *text += field;
}

// lm-eval puts the delimiter between two texts only where neither has white
// space at the join.
std::string SystemText(const TextTask& task, const std::string& system) {
  const std::string& description = task.description;
  if (system.empty() || description.empty()) return system + description;
  const bool spaced = PythonRStrip(system).size() < system.size() ||
                      PythonLStrip(description).size() < description.size();
  return system + (spaced ? "" : task.fewshot_delimiter) + description;
}

const std::string& ShotPrompt(const TextDocument& shot) {
  return PromptOf(shot, shot.gold.empty() ? 0 : shot.gold.front());
}

std::string ShotsText(const TextTask& task,
                      const std::vector<const TextDocument*>& shots) {
  std::string text;
  for (const TextDocument* shot : shots) {
    text += ShotPrompt(*shot);
    text += task.target_delimiter + shot->target + task.fewshot_delimiter;
  }
  return text;
}

std::string Prompt(const TextTask& task,
                   const std::vector<const TextDocument*>& shots,
                   const std::string& text, const PromptFormat& format) {
  if (format.chat == nullptr) {
    return PromptHead(task, shots, format.system) + text;
  }
  std::vector<ChatMessage> messages;
  const std::string system = SystemText(task, format.system);
  if (!system.empty() && format.has_system_role) {
    messages.push_back({"system", system});
  }
  if (!format.multiturn) {
    messages.push_back({"user", ShotsText(task, shots) + text});
    return format.chat->Render(messages);
  }
  for (const TextDocument* shot : shots) {
    messages.push_back({"user", ShotPrompt(*shot)});
    messages.push_back({"assistant", shot->target});
  }
  messages.push_back({"user", text});
  return format.chat->Render(messages);
}

}  // namespace

ShotDrawer::ShotDrawer(const TextTask& task, const ShotOptions& options)
    : task_(task), options_(options), stream_(options.seed) {
  const bool random = task.sampler == ShotSampler::kRandom;
  const int64_t drawn = options.shots + (random && task.leave_one_out ? 1 : 0);
  const auto there = static_cast<int64_t>(task.shots.size());
  const int64_t most = task.most_shots < 0 ? there : task.most_shots;
  if (options.shots < 0 || options.shots > most ||
      (options.shots > 0 && drawn > there)) {
    const int64_t spare = drawn - options.shots;
    throw UserError(fmt::format(
        "{}: {} shots are not possible, the most are {}{}", task.name,
        options.shots, std::max<int64_t>(0, std::min(most, there - spare)),
        task.shot_source.empty() ? "" : " (of " + task.shot_source + ")"));
  }
}

std::vector<const TextDocument*> ShotDrawer::Draw(int64_t index) {
  std::vector<const TextDocument*> shots;
  if (options_.shots == 0) return shots;
  if (task_.sampler == ShotSampler::kFirst) {
    for (int64_t i = 0; i < options_.shots; ++i) {
      shots.push_back(&task_.shots[static_cast<size_t>(i)]);
    }
    return shots;
  }
  const TextDocument& document = task_.documents[static_cast<size_t>(index)];
  if (options_.order == ShotOrder::kLmEval) {
    return DrawRandom(document, &stream_);
  }
  PythonRandom own(DocumentSeed(task_, options_.seed, index));
  return DrawRandom(document, &own);
}

std::vector<const TextDocument*> ShotDrawer::DrawRandom(
    const TextDocument& document, PythonRandom* random) const {
  const auto count = static_cast<size_t>(options_.shots);
  const size_t drawn = count + (task_.leave_one_out ? 1 : 0);
  std::vector<const TextDocument*> shots;
  for (const size_t i : random->SampleIndices(task_.shots.size(), drawn)) {
    const TextDocument& shot = task_.shots[i];
    if (task_.leave_one_out && shot.row == document.row) continue;
    if (shots.size() < count) shots.push_back(&shot);
  }
  if (shots.size() == count) return shots;
  // Rows equal to the document were drawn twice: once more, without them.
  std::vector<const TextDocument*> pool;
  for (const TextDocument& shot : task_.shots) {
    if (shot.row != document.row) pool.push_back(&shot);
  }
  if (pool.size() < count) {
    throw UserError(
        fmt::format("{}: {} has no {} rows that differ from the "
                    "document",
                    task_.name, task_.shot_source, count));
  }
  shots.clear();
  for (const size_t i : random->SampleIndices(pool.size(), count)) {
    shots.push_back(pool[i]);
  }
  return shots;
}

std::string RequestKey(const TextRequest& request, std::string_view model_key) {
  std::string text;
  AddField(model_key, &text);
  AddField(*request.context, &text);
  AddField(request.continuation, &text);
  if (request.generate) {
    text += fmt::format("generate {}", request.max_new_tokens);
    for (const std::string& stop : request.stops) AddField(stop, &text);
  }
  return Sha256Hex(text);
}

std::vector<std::string> StopStrings(const Json& generation) {
  if (generation.value("do_sample", Json(false)) != Json(false) ||
      generation.value("temperature", Json(0)) != Json(0)) {
    throw UserError(
        "generation settings: only greedy generation is possible (do_sample "
        "false, temperature 0)");
  }
  const Json until = generation.value("until", Json::array());
  if (until.is_string()) return {until.get<std::string>()};
  std::vector<std::string> stops;
  for (const Json& stop : until) {
    if (!until.is_array() || !stop.is_string()) {
      throw UserError("generation settings: \"until\" must be strings");
    }
    stops.push_back(stop.get<std::string>());
  }
  return stops;
}

int64_t MostNewTokens(const Json& generation) {
  const Json most = generation.value("max_gen_toks", Json(256));
  constexpr int64_t kMost = int64_t{1} << 20;
  if (!most.is_number_integer() || most < 1 || most > kMost) {
    throw UserError(fmt::format(
        "generation settings: \"max_gen_toks\" must be from 1 to {}", kMost));
  }
  return most.get<int64_t>();
}

PromptFormat ChatFormat(const ChatTemplate& chat, std::string system,
                        bool multiturn) {
  PromptFormat format;
  format.system = std::move(system);
  format.chat = &chat;
  format.multiturn = multiturn;
  try {
    chat.Render({{"system", "s"}, {"user", "u"}});
  } catch (const ChatRefusal&) {
    format.has_system_role = false;
  }
  return format;
}

std::string PromptHead(const TextTask& task,
                       const std::vector<const TextDocument*>& shots,
                       const std::string& system) {
  std::string head = SystemText(task, system);
  head += ShotsText(task, shots);
  return head;
}

std::vector<TextRequest> MakeRequests(
    const TextTask& task, const TextDocument& document,
    std::vector<const TextDocument*> shots, const Json& generation,
    const std::function<int64_t(const std::string&)>& count_tokens,
    const PromptFormat& format) {
  while (task.most_prompt_tokens > 0 && !shots.empty() &&
         count_tokens(Prompt(task, shots, PromptOf(document, 0), format)) >
             task.most_prompt_tokens) {
    shots.pop_back();
  }
  const auto context = [&](const std::string& text) {
    return std::make_shared<const std::string>(
        Prompt(task, shots, text, format));
  };
  const std::string delimiter =
      format.chat == nullptr ? task.target_delimiter : "";
  std::vector<TextRequest> requests;
  if (task.output == OutputKind::kGenerate) {
    requests.push_back({context(document.text), "", true,
                        StopStrings(generation), MostNewTokens(generation)});
  } else if (task.output == OutputKind::kLogLikelihood) {
    requests.push_back({context(document.text), document.target});
  } else if (!document.inputs.empty()) {
    for (const std::string& input : document.inputs) {
      requests.push_back({context(input), delimiter + document.target});
    }
  } else {
    const auto shared = context(document.text);
    for (const std::string& choice : document.choices) {
      requests.push_back({shared, delimiter + choice});
    }
  }
  return requests;
}

}  // namespace rattn
