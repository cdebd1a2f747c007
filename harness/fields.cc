#include "harness/fields.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "kernels/nearest_name.h"
#include "models/error.h"
#include "models/tokenizer/unicode.h"

namespace rattn {
namespace {

bool IsInteger(const Json& value, int64_t least) {
  // A larger one than int64 would wrap to something negative.
  return value.is_number_integer() && value.get<int64_t>() >= least;
}

std::string PatternText(const Json& value) {
  if (value.is_string()) {
    const std::string text = value;
    const bool letters = text.find_first_not_of("LG") == std::string::npos;
    return letters ? text : "";
  }
  std::string text;
  if (!value.is_array()) return text;
  for (const Json& layer : value) {
    if (layer != "local" && layer != "global") return "";
    text += layer == "local" ? 'L' : 'G';
  }
  return text;
}

struct TypeInfo {
  const char* expected;
  bool (*holds)(const Json&);
};

TypeInfo Info(FieldType type) {
  switch (type) {
    case FieldType::kCount:
      return {"an integer of at least 1",
              [](const Json& v) { return IsInteger(v, 1); }};
    case FieldType::kNatural:
      return {"an integer of at least 0",
              [](const Json& v) { return IsInteger(v, 0); }};
    case FieldType::kPositive:
      return {"a number above 0", [](const Json& v) {
                return v.is_number() && v.get<double>() > 0 &&
                       std::isfinite(v.get<double>());
              }};
    case FieldType::kShare:
      return {"a number of at least 0", [](const Json& v) {
                return v.is_number() && v.get<double>() >= 0 &&
                       std::isfinite(v.get<double>());
              }};
    case FieldType::kText:
      return {"a string", [](const Json& v) { return v.is_string(); }};
    case FieldType::kFlag:
      return {"true or false", [](const Json& v) { return v.is_boolean(); }};
    case FieldType::kObject:
      return {"an object", [](const Json& v) { return v.is_object(); }};
    case FieldType::kPattern:
      return {"a word of L and G (\"LLG\") or a list of local and global",
              [](const Json& v) { return !PatternText(v).empty(); }};
  }
  return {"", nullptr};
}

}  // namespace

const Field* FindField(const Fields& fields, std::string_view key) {
  const auto it = std::find_if(fields.begin(), fields.end(),
                               [&](const Field& f) { return f.key == key; });
  return it == fields.end() ? nullptr : &*it;
}

std::vector<std::string> FieldKeys(const Fields& fields) {
  std::vector<std::string> keys;
  for (const Field& field : fields) keys.push_back(field.key);
  return keys;
}

Fields Join(std::initializer_list<Fields> parts) {
  Fields all;
  for (const Fields& part : parts) {
    all.insert(all.end(), part.begin(), part.end());
  }
  return all;
}

Json CheckField(const Field& field, const Json& value,
                const std::string& origin) {
  if (value.is_null() && field.nullable) return value;
  const TypeInfo info = Info(field.type);
  if (!info.holds(value)) {
    throw UserError(fmt::format(
        "{}: {} must be {}{}, not {}", origin, field.key, info.expected,
        field.nullable ? " or null" : "", value.dump().substr(0, 60)));
  }
  if (field.type == FieldType::kPattern) return PatternText(value);
  const bool real =
      field.type == FieldType::kPositive || field.type == FieldType::kShare;
  // 1 and 1.0 are one value and must give one id.
  return real ? Json(value.get<double>()) : value;
}

Json CompleteFields(const Fields& fields, const Json& values,
                    const std::string& origin) {
  for (const auto& [key, value] : values.items()) {
    if (FindField(fields, key) == nullptr) {
      throw UserError(fmt::format("{}: unknown key '{}'{}", origin, key,
                                  NearestHint(key, FieldKeys(fields))));
    }
  }
  Json all = Json::object();
  for (const Field& field : fields) {
    const auto it = values.find(field.key);
    const Json& value = it == values.end() ? field.fallback : *it;
    if (it == values.end() && value.is_null() && !field.nullable) {
      throw UserError(fmt::format("{}: missing key '{}' ({})", origin,
                                  field.key, field.help));
    }
    all[field.key] = CheckField(field, value, origin);
  }
  return all;
}

Json ParseValue(const std::string& text) {
  Json value = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!value.is_discarded()) return value;
  if (!IsValidUtf8(text)) {
    throw UserError(fmt::format("the value '{}' is not UTF-8", text));
  }
  return text;
}

std::string ValueText(const Json& value) {
  return value.is_string() ? value.get<std::string>() : value.dump();
}

}  // namespace rattn
