// Text files of others, whose bytes go into prompts and JSON.
#pragma once

#include <string>

namespace rattn {

// As ReadTextFile; also throws UserError for bytes that are no UTF-8.
std::string ReadUtf8File(const std::string& path);

}  // namespace rattn
