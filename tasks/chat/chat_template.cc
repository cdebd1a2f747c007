#include "tasks/chat/chat_template.h"

#include <fmt/format.h>

#include <filesystem>
#include <utility>

#include "tasks/chat/template_renderer.h"

namespace rattn {
namespace {

constexpr size_t kMostTemplateBytes = size_t{1} << 20;

// "bos_token" and the like, given as text or as {"content": text}.
void AddTokens(const Json& settings, Json* tokens) {
  if (!settings.is_object()) return;
  for (const auto& [key, value] : settings.items()) {
    const Json text =
        value.is_object() ? value.value("content", Json()) : value;
    if (key.ends_with("_token") && text.is_string()) (*tokens)[key] = text;
  }
}

// Of "chat_template": text, or a list of {"name", "template"}.
std::string TemplateText(const Json& settings) {
  if (!settings.is_object()) return "";
  const Json given = settings.value("chat_template", Json());
  if (given.is_string()) return given;
  if (!given.is_array()) return "";
  for (const Json& one : given) {
    if (!one.is_object() || one.value("name", Json()) != Json("default")) {
      continue;
    }
    const Json text = one.value("template", Json());
    if (text.is_string()) return text;
  }
  return "";
}

}  // namespace

ChatTemplate ChatTemplate::Load(const std::string& folder) {
  std::error_code none;
  const auto path = [&](const char* name) { return folder + "/" + name; };
  const auto has = [&](const char* name) {
    return std::filesystem::is_regular_file(path(name), none);
  };
  Json tokens = Json::object();
  std::string text, origin;
  for (const char* name :
       {"special_tokens_map.json", "tokenizer_config.json"}) {
    if (!has(name)) continue;
    const Json settings = ReadJsonFile(path(name));
    AddTokens(settings, &tokens);
    text = TemplateText(settings);
    origin = path(name) + ": chat_template";
  }
  if (const char* name = "chat_template.jinja"; has(name)) {
    origin = path(name);
    text = ReadTextFile(origin, kMostTemplateBytes);
  }
  if (text.empty()) {
    throw UserError(fmt::format(
        "{} has no chat template (\"chat_template\" in tokenizer_config.json "
        "or chat_template.jinja): evaluate it without --apply_chat_template",
        folder));
  }
  return ChatTemplate(std::move(text), std::move(origin), std::move(tokens));
}

ChatTemplate::ChatTemplate(std::string text, std::string origin, Json tokens)
    : text_(std::move(text)),
      origin_(std::move(origin)),
      tokens_(std::move(tokens)) {
  if (text_.size() > kMostTemplateBytes) {
    throw UserError(origin_ + " is longer than a megabyte");
  }
  root_ = ParseTemplate(text_, origin_);
}

std::string ChatTemplate::Render(
    const std::vector<ChatMessage>& messages) const {
  Json variables = tokens_;
  variables["messages"] = Json::array();
  for (const ChatMessage& message : messages) {
    variables["messages"].push_back(
        {{"role", message.role}, {"content", message.content}});
  }
  variables["add_generation_prompt"] = true;
  // As transformers passes what the caller has not: none, not undefined.
  variables["tools"] = nullptr;
  variables["documents"] = nullptr;
  return RenderTemplate(root_, variables, origin_);
}

}  // namespace rattn
