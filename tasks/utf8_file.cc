#include "tasks/utf8_file.h"

#include "models/error.h"
#include "models/json_fields.h"
#include "models/tokenizer/unicode.h"

namespace rattn {

std::string ReadUtf8File(const std::string& path) {
  std::string text = ReadTextFile(path);
  if (!IsValidUtf8(text)) throw UserError(path + ": is not UTF-8");
  return text;
}

}  // namespace rattn
