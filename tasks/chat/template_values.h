// Values of templates, and what filters, tests, methods and operators do with
// them, as Python's types do.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "models/json_fields.h"

namespace rattn {

// Nothing: undefined.
using TemplateValue = std::optional<Json>;

// Longest text or list that a template may make.
inline constexpr size_t kMostTemplateText = size_t{16} << 20;

bool IsTrue(const TemplateValue& value);

// All throw UserError without a place: of a name that is not supported, of
// values that it does not take.
TemplateValue ApplyFilter(const std::string& name, const TemplateValue& input,
                          std::span<const TemplateValue> arguments);
bool ApplyTest(const std::string& name, const TemplateValue& input,
               std::span<const TemplateValue> arguments);
Json CallMethod(const Json& object, const std::string& name,
                std::span<const TemplateValue> arguments);
Json ApplyOperator(const std::string& name, const TemplateValue& left,
                   const TemplateValue& right);
// Members, items of lists, negative numbers from the end; undefined where there
// is none.
TemplateValue ItemOf(const TemplateValue& object, const TemplateValue& index);
Json SliceOf(const TemplateValue& object,
             std::span<const TemplateValue> begin_end_step);
// str(): of texts, numbers, truth values, none; undefined is "".
std::string PrintedValue(const TemplateValue& value);

}  // namespace rattn
