// The layout of a conversation with a model, from its tokenizer's files: the
// "chat_template" of tokenizer_config.json or chat_template.jinja, rendered as
// transformers does.
#pragma once

#include <string>
#include <vector>

#include "models/error.h"
#include "tasks/chat/template_syntax.h"

namespace rattn {

struct ChatMessage {
  std::string role;  // "system", "user" or "assistant"
  std::string content;
};

// The template itself refused the messages (raise_exception).
class ChatRefusal : public UserError {
 public:
  using UserError::UserError;
};

class ChatTemplate {
 public:
  // Of a checkpoint's folder; of several templates the one called "default".
  // Throws UserError where there is none, or for a part of Jinja that
  // tasks/chat/template_syntax.h does not name.
  static ChatTemplate Load(const std::string& folder);

  // `tokens`: an object of "bos_token" and others. `origin` begins errors.
  ChatTemplate(std::string text, std::string origin, Json tokens);

  // With the beginning of the assistant's answer. Dates are not given to
  // templates, which then use the one they were written with: a prompt is the
  // same every day. Throws ChatRefusal, or UserError that names the place of
  // what is not supported.
  std::string Render(const std::vector<ChatMessage>& messages) const;

  const std::string& text() const { return text_; }

 private:
  std::string text_, origin_;
  Json tokens_;
  TemplateNode root_;
};

}  // namespace rattn
