#include "tasks/chat/template_values.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "models/error.h"
#include "tasks/python_text.h"

namespace rattn {
namespace {

using Arguments = std::span<const TemplateValue>;

const char* TypeOf(const TemplateValue& value) {
  if (!value) return "undefined";
  if (value->is_string()) return "text";
  if (value->is_array()) return "a list";
  if (value->is_object()) return "a mapping";
  if (value->is_boolean()) return "a truth value";
  return value->is_null() ? "none" : "a number";
}

[[noreturn]] void Refuse(const std::string& what, const TemplateValue& value) {
  throw UserError(fmt::format("{} does not take {}", what, TypeOf(value)));
}

const Json& Defined(const TemplateValue& value, const std::string& what) {
  if (!value) Refuse(what, value);
  return *value;
}

std::string TextOf(const TemplateValue& value, const std::string& what) {
  if (!value || !value->is_string()) Refuse(what, value);
  return value->get<std::string>();
}

void Need(Arguments arguments, size_t least, size_t most,
          const std::string& what) {
  if (arguments.size() >= least && arguments.size() <= most) return;
  throw UserError(fmt::format("{}: {} arguments are not supported", what,
                              arguments.size()));
}

bool IsSequence(const TemplateValue& value) {
  return value &&
         (value->is_array() || value->is_string() || value->is_object());
}

Json Length(const TemplateValue& input) {
  if (!IsSequence(input)) Refuse("length", input);
  return input->is_string() ? Json(CodePoints(input->get<std::string>()))
                            : Json(static_cast<int64_t>(input->size()));
}

TemplateValue End(const TemplateValue& input, bool first) {
  if (!input || !input->is_array()) Refuse(first ? "first" : "last", input);
  if (input->empty()) return std::nullopt;
  return first ? input->front() : input->back();
}

// str.strip(characters), of one or both ends; ASCII characters only.
std::string Stripped(std::string_view text, Arguments arguments, bool left,
                     bool right, const std::string& what) {
  Need(arguments, 0, 1, what);
  if (arguments.empty()) {
    if (left) text = PythonLStrip(text);
    if (right) text = PythonRStrip(text);
    return std::string(text);
  }
  const std::string set = TextOf(arguments[0], what);
  if (std::any_of(set.begin(), set.end(), [](char c) { return c < 0; })) {
    throw UserError(what + ": only ASCII characters are supported");
  }
  const size_t begin = left ? text.find_first_not_of(set) : 0;
  if (begin == std::string_view::npos) return "";
  const size_t last = text.find_last_not_of(set);
  if (right && last == std::string_view::npos) return "";
  const size_t end = right ? last + 1 : text.size();
  return std::string(text.substr(begin, end - begin));
}

Json Split(std::string_view text, Arguments arguments) {
  Need(arguments, 1, 1, "split");
  const std::string by = TextOf(arguments[0], "split");
  if (by.empty()) throw UserError("split: the separator is empty");
  Json parts = Json::array();
  for (size_t at = 0;;) {
    const size_t end = text.find(by, at);
    parts.push_back(std::string(text.substr(at, end - at)));
    if (end == std::string_view::npos) return parts;
    at = end + by.size();
  }
}

Json Replaced(std::string_view text, Arguments arguments) {
  Need(arguments, 2, 2, "replace");
  const std::string from = TextOf(arguments[0], "replace");
  const std::string to = TextOf(arguments[1], "replace");
  if (from.empty()) throw UserError("replace: the text to find is empty");
  if (text.size() / from.size() * to.size() > kMostTemplateText) {
    throw UserError("replace: the text becomes too long");
  }
  return ReplaceAll(text, from, to);
}

struct Method {
  std::string_view name;
  Json (*call)(const std::string& text, Arguments arguments);
};
constexpr std::array kMethods = {
    Method{"strip",
           [](const std::string& t, Arguments a) -> Json {
             return Stripped(t, a, true, true, "strip");
           }},
    Method{"lstrip",
           [](const std::string& t, Arguments a) -> Json {
             return Stripped(t, a, true, false, "lstrip");
           }},
    Method{"rstrip",
           [](const std::string& t, Arguments a) -> Json {
             return Stripped(t, a, false, true, "rstrip");
           }},
    Method{"startswith",
           [](const std::string& t, Arguments a) -> Json {
             Need(a, 1, 1, "startswith");
             return t.starts_with(TextOf(a[0], "startswith"));
           }},
    Method{"endswith",
           [](const std::string& t, Arguments a) -> Json {
             Need(a, 1, 1, "endswith");
             return t.ends_with(TextOf(a[0], "endswith"));
           }},
    Method{"lower",
           [](const std::string& t, Arguments a) -> Json {
             Need(a, 0, 0, "lower");
             return PythonLower(t);
           }},
    Method{"split",
           [](const std::string& t, Arguments a) { return Split(t, a); }},
    Method{"replace",
           [](const std::string& t, Arguments a) { return Replaced(t, a); }},
};

struct Filter {
  std::string_view name;
  TemplateValue (*apply)(const TemplateValue& input, Arguments arguments);
};
constexpr std::array kFilters = {
    Filter{"trim",
           [](const TemplateValue& v, Arguments a) -> TemplateValue {
             return Stripped(TextOf(v, "trim"), a, true, true, "trim");
           }},
    Filter{"length",
           [](const TemplateValue& v, Arguments) -> TemplateValue {
             return Length(v);
           }},
    Filter{"count",
           [](const TemplateValue& v, Arguments) -> TemplateValue {
             return Length(v);
           }},
    Filter{"lower",
           [](const TemplateValue& v, Arguments) -> TemplateValue {
             return PythonLower(TextOf(v, "lower"));
           }},
    Filter{"string",
           [](const TemplateValue& v, Arguments) -> TemplateValue {
             return PrintedValue(v);
           }},
    Filter{"first",
           [](const TemplateValue& v, Arguments) { return End(v, true); }},
    Filter{"last",
           [](const TemplateValue& v, Arguments) { return End(v, false); }},
    Filter{"list",
           [](const TemplateValue& v, Arguments) {
             if (!v || !v->is_array()) Refuse("list", v);
             return v;
           }},
    Filter{"default",
           [](const TemplateValue& v, Arguments a) {
             Need(a, 1, 2, "default");
             const bool or_false = a.size() == 2 && IsTrue(a[1]);
             return (or_false ? IsTrue(v) : v.has_value()) ? v : a[0];
           }},
    Filter{"replace",
           [](const TemplateValue& v, Arguments a) -> TemplateValue {
             return Replaced(TextOf(v, "replace"), a);
           }},
};

struct ValueTest {
  std::string_view name;
  bool (*holds)(const TemplateValue& input, Arguments arguments);
};
constexpr std::array kTests = {
    ValueTest{"defined",
              [](const TemplateValue& v, Arguments) { return v.has_value(); }},
    ValueTest{"undefined",
              [](const TemplateValue& v, Arguments) { return !v.has_value(); }},
    ValueTest{"none", [](const TemplateValue& v,
                         Arguments) { return v && v->is_null(); }},
    ValueTest{"string", [](const TemplateValue& v,
                           Arguments) { return v && v->is_string(); }},
    ValueTest{"mapping", [](const TemplateValue& v,
                            Arguments) { return v && v->is_object(); }},
    ValueTest{"iterable",
              [](const TemplateValue& v, Arguments) { return IsSequence(v); }},
    ValueTest{"sequence",
              [](const TemplateValue& v, Arguments) { return IsSequence(v); }},
    ValueTest{"number",
              [](const TemplateValue& v, Arguments) {
                return v && (v->is_number() || v->is_boolean());
              }},
    ValueTest{"true", [](const TemplateValue& v,
                         Arguments) { return v && *v == Json(true); }},
    ValueTest{"false", [](const TemplateValue& v,
                          Arguments) { return v && *v == Json(false); }},
    ValueTest{"equalto",
              [](const TemplateValue& v, Arguments a) {
                Need(a, 1, 1, "equalto");
                return v == a[0];
              }},
};

template <typename Table>
const auto& Find(const Table& table, const std::string& name,
                 const char* kind) {
  const auto found =
      std::find_if(table.begin(), table.end(),
                   [&](const auto& entry) { return entry.name == name; });
  if (found != table.end()) return *found;
  throw UserError(fmt::format("the {} '{}' is not supported", kind, name));
}

Json Sum(const Json& left, const Json& right) {
  if (left.is_string() && right.is_string()) {
    const auto& a = left.get_ref<const std::string&>();
    const auto& b = right.get_ref<const std::string&>();
    if (a.size() + b.size() > kMostTemplateText) {
      throw UserError("+: the text becomes too long");
    }
    return a + b;
  }
  if (left.is_array() && right.is_array()) {
    // Every item can be a message.
    if (left.size() + right.size() > 100000) {
      throw UserError("+: the list becomes too long");
    }
    Json all = left;
    all.insert(all.end(), right.begin(), right.end());
    return all;
  }
  if (!left.is_number_integer()) Refuse("+", left);
  Refuse("+", right);
}

bool Contains(const Json& container, const Json& item) {
  if (container.is_string()) {
    return container.get_ref<const std::string&>().find(TextOf(item, "in")) !=
           std::string::npos;
  }
  if (container.is_object()) {
    return item.is_string() && container.contains(item.get<std::string>());
  }
  if (!container.is_array()) Refuse("in", container);
  return std::find(container.begin(), container.end(), item) != container.end();
}

int64_t Bounded(int64_t number) {
  constexpr int64_t kMost = int64_t{1} << 40;
  return std::clamp(number, -kMost, kMost);
}

// Of integers; numbers stay far from overflow.
Json Arithmetic(const std::string& name, int64_t a, int64_t b) {
  if (name == "+") return Bounded(a + b);
  if (name == "-") return Bounded(a - b);
  if (name == "<") return a < b;
  if (name == ">") return a > b;
  if (name == "<=") return a <= b;
  if (name == ">=") return a >= b;
  if ((name == "%" || name == "//") && b != 0) {
    const int64_t rest = (a % b + b) % b;  // Python's sign
    return name == "%" ? rest : (a - rest) / b;
  }
  throw UserError(fmt::format("the operator {} is not supported for {} and {}",
                              name, a, b));
}

}  // namespace

bool IsTrue(const TemplateValue& value) {
  if (!value || value->is_null()) return false;
  if (value->is_boolean()) return value->get<bool>();
  if (value->is_number()) return value->get<double>() != 0;
  if (value->is_string()) return !value->get_ref<const std::string&>().empty();
  return !value->empty();
}

TemplateValue ApplyFilter(const std::string& name, const TemplateValue& input,
                          Arguments arguments) {
  return Find(kFilters, name, "filter").apply(input, arguments);
}

bool ApplyTest(const std::string& name, const TemplateValue& input,
               Arguments arguments) {
  return Find(kTests, name, "test").holds(input, arguments);
}

Json CallMethod(const Json& object, const std::string& name,
                Arguments arguments) {
  if (!object.is_string()) {
    throw UserError(fmt::format("the method '{}' of {} is not supported", name,
                                TypeOf(object)));
  }
  return Find(kMethods, name, "method")
      .call(object.get_ref<const std::string&>(), arguments);
}

Json ApplyOperator(const std::string& name, const TemplateValue& left,
                   const TemplateValue& right) {
  if (name == "==") return left == right;
  if (name == "!=") return left != right;
  if (name == "~") {
    return Sum(PrintedValue(left), PrintedValue(right));
  }
  const Json& a = Defined(left, name);
  const Json& b = Defined(right, name);
  if (name == "in") return Contains(b, a);
  if (name == "not in") return !Contains(b, a);
  if (a.is_number_integer() && b.is_number_integer()) {
    return Arithmetic(name, Bounded(a.get<int64_t>()),
                      Bounded(b.get<int64_t>()));
  }
  if (name == "+") return Sum(a, b);
  Refuse("the operator " + name, a.is_number_integer() ? b : a);
}

TemplateValue ItemOf(const TemplateValue& object, const TemplateValue& index) {
  const Json& whole = Defined(object, "[]");
  const Json& at = Defined(index, "[]");
  if (whole.is_object()) {
    if (!at.is_string()) return std::nullopt;
    const auto found = whole.find(at.get_ref<const std::string&>());
    return found == whole.end() ? TemplateValue() : TemplateValue(*found);
  }
  if (whole.is_string() && at.is_string()) return std::nullopt;
  if (!whole.is_array() || !at.is_number_integer()) Refuse("[]", object);
  const auto size = static_cast<int64_t>(whole.size());
  int64_t place = Bounded(at.get<int64_t>());
  if (place < 0) place += size;
  if (place < 0 || place >= size) return std::nullopt;
  return whole[static_cast<size_t>(place)];
}

Json SliceOf(const TemplateValue& object, Arguments begin_end_step) {
  if (!object || !object->is_array()) Refuse("[:]", object);
  const auto size = static_cast<int64_t>(object->size());
  const auto number = [&](size_t i, int64_t otherwise) {
    const TemplateValue& value = begin_end_step[i];
    if (value && value->is_null()) return otherwise;
    if (!value || !value->is_number_integer()) Refuse("[:]", value);
    return Bounded(value->get<int64_t>());
  };
  const int64_t step = number(2, 1);
  if (step == 0) throw UserError("[:]: the step is 0");
  // Python: places behind either end are that end.
  const int64_t least = step > 0 ? 0 : -1, most = step > 0 ? size : size - 1;
  const auto place = [&](size_t i, int64_t otherwise) {
    constexpr int64_t kNone = int64_t{1} << 41;
    const int64_t given = number(i, kNone);
    if (given == kNone) return otherwise;
    return std::clamp(given < 0 ? given + size : given, least, most);
  };
  const int64_t begin = place(0, step > 0 ? 0 : size - 1);
  const int64_t end = place(1, step > 0 ? size : -1);
  Json part = Json::array();
  for (int64_t i = begin; step > 0 ? i < end : i > end; i += step) {
    part.push_back((*object)[static_cast<size_t>(i)]);
  }
  return part;
}

std::string PrintedValue(const TemplateValue& value) {
  if (!value) return "";
  if (value->is_string()) return value->get<std::string>();
  if (value->is_null()) return "None";
  if (value->is_boolean()) return value->get<bool>() ? "True" : "False";
  if (value->is_number_integer()) return std::to_string(value->get<int64_t>());
  Refuse("printing", value);
}

}  // namespace rattn
