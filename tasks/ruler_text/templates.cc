#include "tasks/ruler_text/templates.h"

#include <fmt/format.h>

#include "models/error.h"
#include "models/json_fields.h"
#include "models/sha256.h"
#include "tasks/python_text.h"

namespace rattn {
namespace {

const Json& Member(const Json& object, const std::string& key,
                   const std::string& where) {
  if (!object.is_object() || !object.contains(key)) {
    throw UserError(fmt::format("{}: key '{}' is missing", where, key));
  }
  return object[key];
}

std::string Text(const Json& object, const std::string& key,
                 const std::string& where) {
  const Json& value = Member(object, key, where);
  if (!value.is_string()) {
    throw UserError(fmt::format("{}: '{}' is no string", where, key));
  }
  return value.get<std::string>();
}

RulerTemplate ReadTemplate(const Json& tasks, const std::string& key,
                           const std::string& path) {
  const std::string where = fmt::format("{}: tasks.{}", path, key);
  const Json& entry = Member(tasks, key, path);
  RulerTemplate result;
  result.text = Text(entry, "template", where);
  result.prefix = Text(entry, "answer_prefix", where);
  const Json& budget = Member(entry, "tokens_to_generate", where);
  if (!budget.is_number_integer() || budget < 1 || budget > 1000000) {
    throw UserError(
        fmt::format("{}: 'tokens_to_generate' is no count of tokens", where));
  }
  result.tokens_to_generate = budget.get<int64_t>();
  return result;
}

std::string_view ValueOf(std::string_view slot, const TemplateValues& values) {
  for (const auto& [name, value] : values) {
    if (name == slot) return value;
  }
  throw UserError(
      fmt::format("a template has the unknown slot '{{{}}}'", slot));
}

}  // namespace

const RulerTemplate& RulerTemplates::Of(RulerFamily family) const {
  switch (family) {
    case RulerFamily::kNiah:
      return niah;
    case RulerFamily::kVt:
      return vt;
    case RulerFamily::kCwe:
      return cwe;
    case RulerFamily::kFwe:
      return fwe;
    default:
      return qa;
  }
}

RulerTemplates LoadRulerTemplates(const std::string& path) {
  const std::string file = ReadTextFile(path);
  const Json json = ParseJsonText(file, path);
  const Json& tasks = Member(json, "tasks", path);
  RulerTemplates result;
  result.niah = ReadTemplate(tasks, "niah", path);
  result.vt = ReadTemplate(tasks, "variable_tracking", path);
  result.cwe = ReadTemplate(tasks, "common_words_extraction", path);
  result.fwe = ReadTemplate(tasks, "freq_words_extraction", path);
  result.qa = ReadTemplate(tasks, "qa", path);
  result.noise_unit = Text(json, "noise_unit", path);
  result.needle = Text(json, "needle", path);
  result.sha256 = Sha256Hex(file);
  return result;
}

std::string FormatTemplate(std::string_view text,
                           const TemplateValues& values) {
  std::string result;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if ((c == '{' || c == '}') && i + 1 < text.size() && text[i + 1] == c) {
      result += c;
      ++i;
    } else if (c == '{') {
      const size_t end = text.find('}', i);
      if (end == text.npos) {
        throw UserError("a template has a '{' without its '}'");
      }
      result += ValueOf(text.substr(i + 1, end - i - 1), values);
      i = end;
    } else {
      result += c;
    }
  }
  return result;
}

std::string Singular(std::string_view text) {
  std::string result = ReplaceAll(text, "Some", "A");
  result = ReplaceAll(result, "are all", "is");
  result = ReplaceAll(result, "are", "is");
  return ReplaceAll(result, "answers", "answer");
}

}  // namespace rattn
