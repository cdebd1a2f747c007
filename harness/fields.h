// The fields of a kind of cell: which keys a sweep config may set, their
// types and defaults. A field is named here once; configs, flags (--set,
// --filter), error messages and help come from it.
#pragma once

#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "models/json_fields.h"

namespace rattn {

enum class FieldType {
  kCount,     // integer >= 1
  kNatural,   // integer >= 0
  kPositive,  // number > 0
  kShare,     // number >= 0
  kText,
  kFlag,
  kObject,
  kPattern,  // "LLG" or ["local", "local", "global"]; kept as "LLG"
};

struct Field {
  std::string key;
  FieldType type;
  Json fallback;  // default; null = required unless nullable
  bool axis;      // an axis (reports group by it) or a mere parameter
  bool nullable;
  std::string help;
};

using Fields = std::vector<Field>;

const Field* FindField(const Fields& fields, std::string_view key);
std::vector<std::string> FieldKeys(const Fields& fields);
Fields Join(std::initializer_list<Fields> parts);

// The value in its one spelling. Throws UserError "ORIGIN: KEY: ..." for
// another type or an impossible value.
Json CheckField(const Field& field, const Json& value,
                const std::string& origin);

// Checks every key and value and fills in defaults, in the order of `fields`.
Json CompleteFields(const Fields& fields, const Json& values,
                    const std::string& origin);

// "4" -> 4, "true" -> true, "null" -> null, "swa" -> "swa". Throws UserError for
// bytes that are no UTF-8.
Json ParseValue(const std::string& text);
// The inverse, for filters and tables.
std::string ValueText(const Json& value);

}  // namespace rattn
