// Walks the syntax tree of a template.
#pragma once

#include <string>

#include "tasks/chat/template_syntax.h"

namespace rattn {

// `variables`: an object. Throws ChatRefusal for the template's own
// raise_exception, UserErrors "ORIGIN:LINE: .." for all else.
std::string RenderTemplate(const TemplateNode& root, const Json& variables,
                           const std::string& origin);

}  // namespace rattn
