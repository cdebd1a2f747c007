#include "tasks/ruler_text/text_sample.h"

#include <fmt/format.h>

#include <utility>

#include "models/error.h"
#include "models/json_fields.h"

namespace rattn {
namespace {

// json.dumps: ASCII only, a space after colons and commas.
std::string Quoted(const std::string& text) {
  return Json(text).dump(-1, ' ', /*ensure_ascii=*/true,
                         Json::error_handler_t::replace);
}

std::string QuotedList(const std::vector<std::string>& items) {
  std::string list = "[";
  for (size_t i = 0; i < items.size(); ++i) {
    list += (i > 0 ? ", " : "") + Quoted(items[i]);
  }
  return list + "]";
}

}  // namespace

std::string RulerDataLine(const RulerTextSample& sample) {
  std::string line = fmt::format(
      "{{\"index\": {}, \"input\": {}, \"outputs\": {}, \"length\": {}, "
      "\"length_w_model_temp\": {}, \"answer_prefix\": {}",
      sample.stored_index, Quoted(sample.input), QuotedList(sample.outputs),
      sample.length, sample.length, Quoted(sample.answer_prefix));
  if (sample.token_position_answer) {
    line += fmt::format(", \"token_position_answer\": {}",
                        *sample.token_position_answer);
  }
  return line + "}";
}

RulerTextSample ParseRulerDataLine(const std::string& line,
                                   const std::string& where) {
  const Json json = ParseJsonText(line, where);
  const auto fail = [&](const char* key) {
    return UserError(
        fmt::format("{}: '{}' is missing or of another type", where, key));
  };
  const auto text = [&](const char* key) {
    if (!json.contains(key) || !json[key].is_string()) throw fail(key);
    return json[key].get<std::string>();
  };
  const auto number = [&](const char* key) {
    if (!json.contains(key) || !json[key].is_number_integer()) throw fail(key);
    return json[key].get<int64_t>();
  };
  if (!json.is_object()) throw UserError(where + ": expected an object");
  RulerTextSample sample;
  sample.stored_index = sample.index = number("index");
  sample.input = text("input");
  sample.length = number("length");
  // Files of before 2025-05-30 have the prefix in the input.
  if (json.contains("answer_prefix")) {
    sample.answer_prefix = text("answer_prefix");
  }
  if (!json.contains("outputs") || !json["outputs"].is_array()) {
    throw fail("outputs");
  }
  for (const Json& output : json["outputs"]) {
    if (!output.is_string()) throw fail("outputs");
    sample.outputs.push_back(output.get<std::string>());
  }
  if (json.contains("token_position_answer")) {
    sample.token_position_answer = number("token_position_answer");
  }
  return sample;
}

std::string RulerPredictionLine(const RulerTextSample& sample,
                                const std::string& prediction) {
  return fmt::format(
      "{{\"index\": {}, \"pred\": {}, \"input\": {}, \"outputs\": {}, "
      "\"others\": {{}}, \"truncation\": -1, \"length\": {}}}",
      sample.index, Quoted(prediction), Quoted(sample.input),
      QuotedList(sample.outputs), sample.length);
}

}  // namespace rattn
