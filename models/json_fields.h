// Config structs to and from JSON. A struct becomes a config by one function
// beside it, found by argument-dependent lookup, that names every field once:
//
//   template <typename Visitor>
//   void VisitFields(Visitor& visit, MixerConfig& c) {
//     visit.Required("variant", c.variant, "name in the catalog");
//     visit.Optional("window_keys", c.window_keys, "keys a query sees");
//   }
//
// A field that joins a struct whose texts are hashed or compared is `Added`: it
// is written only where it differs from what its absence means.
//
// ParseFields, PrintFields and DescribeFields all walk it. Field types: bool,
// integers, double, std::string, Json (anything), other config structs, and
// std::optional, std::vector and std::map<std::string, ..> of these.
//
// Reading is strict. UserErrors are one line that names the file, the key with
// its path ("local.window_keys") and what is wrong: an unknown key (with the
// nearest known one), a missing key, a value of another type.
#pragma once

#include <concepts>
#include <cstdint>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "models/error.h"

namespace rattn {

using Json = nlohmann::ordered_json;

// Null where the text is empty: nobody knows, or there is none.
inline Json TextOrNull(const std::string& text) {
  return text.empty() ? Json() : Json(text);
}

// Files are untrusted: larger or deeper ones are refused before they cost.
inline constexpr size_t kMaxJsonBytes = size_t{256} << 20;
inline constexpr int kMaxJsonDepth = 64;
inline constexpr size_t kMaxJsonKeys = 10000;  // of one object

// Throws UserErrors that begin with `origin` (a path, usually): not JSON,
// nested too deep, a key twice in one object.
Json ParseJsonText(std::string_view text, const std::string& origin);
// The same for a file that is missing, unreadable, a folder or too large.
std::string ReadTextFile(const std::string& path,
                         size_t max_bytes = kMaxJsonBytes);
Json ReadJsonFile(const std::string& path);

struct FieldDescription {
  std::string key;   // with its path
  std::string type;  // "integer", "list of strings", ...
  std::string description;
  bool required = false;
  Json default_value;  // null where required
};

namespace json_fields {

struct NoVisitor {
  template <typename T>
  void Required(const char*, T&, const char*) {}
  template <typename T>
  void Optional(const char*, T&, const char*) {}
  template <typename T>
  void Added(const char*, T&, const T&, const char*) {}
};

template <typename T>
concept ConfigStruct = requires(NoVisitor& v, T& t) {
  VisitFields(v, t);
};

template <typename T>
struct IsOptional : std::false_type {};
template <typename T>
struct IsOptional<std::optional<T>> : std::true_type {};
template <typename T>
struct IsVector : std::false_type {};
template <typename T>
struct IsVector<std::vector<T>> : std::true_type {};
template <typename T>
struct IsStringMap : std::false_type {};
template <typename T>
struct IsStringMap<std::map<std::string, T>> : std::true_type {};
template <typename T>
concept Integer = std::integral<T> && !std::same_as<T, bool>;

template <typename T>
std::string TypeName() {
  if constexpr (std::same_as<T, bool>) {
    return "true or false";
  } else if constexpr (Integer<T>) {
    return "an integer";
  } else if constexpr (std::floating_point<T>) {
    return "a number";
  } else if constexpr (std::same_as<T, std::string>) {
    return "a string";
  } else if constexpr (std::same_as<T, Json>) {
    return "any value";
  } else if constexpr (IsOptional<T>::value) {
    return TypeName<typename T::value_type>() + " or null";
  } else if constexpr (IsVector<T>::value) {
    return "a list, each " + TypeName<typename T::value_type>();
  } else if constexpr (IsStringMap<T>::value) {
    return "an object, each value " + TypeName<typename T::mapped_type>();
  } else {
    static_assert(ConfigStruct<T>, "no VisitFields for this type");
    return "an object";
  }
}

[[noreturn]] void ThrowType(const std::string& origin, const std::string& path,
                            const std::string& expected, const Json& got);
[[noreturn]] void ThrowMissing(const std::string& origin,
                               const std::string& path);
// Throws if `object` has a key that is not in `known`.
void CheckKeys(const std::string& origin, const std::string& path,
               const Json& object, const std::vector<std::string>& known);
std::string Join(const std::string& path, const std::string& key);

template <typename T>
void Read(const std::string& origin, const std::string& path, const Json& json,
          T* value);

class Parser {
 public:
  Parser(const std::string& origin, const std::string& path, const Json& json)
      : origin_(origin), path_(path), json_(json) {}

  template <typename T>
  void Required(const char* key, T& value, const char* description) {
    if (!json_.contains(key)) missing_.push_back(Join(path_, key));
    Optional(key, value, description);
  }
  template <typename T>
  void Optional(const char* key, T& value, const char*) {
    known_.push_back(key);
    const auto at = json_.find(key);
    if (at != json_.end()) Read(origin_, Join(path_, key), *at, &value);
  }
  template <typename T>
  void Added(const char* key, T& value, const T&, const char* description) {
    Optional(key, value, description);
  }
  // An unknown key goes first: a misspelt required key is both.
  void Finish() const {
    CheckKeys(origin_, path_, json_, known_);
    if (!missing_.empty()) ThrowMissing(origin_, missing_.front());
  }

 private:
  const std::string& origin_;
  const std::string& path_;
  const Json& json_;
  std::vector<std::string> known_, missing_;
};

template <typename T>
Json Write(const T& value);

class Printer {
 public:
  template <typename T>
  void Required(const char* key, T& value, const char*) {
    json[key] = Write(value);
  }
  template <typename T>
  void Optional(const char* key, T& value, const char*) {
    json[key] = Write(value);
  }
  template <typename T>
  void Added(const char* key, T& value, const T& absent, const char*) {
    if (!(value == absent)) json[key] = Write(value);
  }
  Json json = Json::object();
};

class Describer {
 public:
  explicit Describer(std::string path) : path_(std::move(path)) {}

  template <typename T>
  void Required(const char* key, T& value, const char* description) {
    Add(key, value, description, true);
  }
  template <typename T>
  void Optional(const char* key, T& value, const char* description) {
    Add(key, value, description, false);
  }
  template <typename T>
  void Added(const char* key, T& value, const T&, const char* description) {
    Add(key, value, description, false);
  }
  std::vector<FieldDescription> fields;

 private:
  template <typename T>
  void Add(const char* key, T& value, const char* description, bool required) {
    fields.push_back({Join(path_, key), TypeName<T>(), description, required,
                      required ? Json() : Write(value)});
    if constexpr (ConfigStruct<T>) {
      Describer inner(Join(path_, key));
      VisitFields(inner, value);
      fields.insert(fields.end(), inner.fields.begin(), inner.fields.end());
    }
  }
  std::string path_;
};

template <Integer T>
bool InRange(const Json& json) {
  return json.is_number_unsigned()
             ? std::in_range<T>(json.template get<uint64_t>())
             : std::in_range<T>(json.template get<int64_t>());
}

template <typename T>
void Read(const std::string& origin, const std::string& path, const Json& json,
          T* value) {
  const auto expect = [&](bool holds) {
    if (!holds) ThrowType(origin, path, TypeName<T>(), json);
  };
  if constexpr (std::same_as<T, Json>) {
    *value = json;
  } else if constexpr (std::same_as<T, bool>) {
    expect(json.is_boolean());
    *value = json.template get<bool>();
  } else if constexpr (Integer<T>) {
    expect(json.is_number_integer() && InRange<T>(json));
    *value = json.template get<T>();
  } else if constexpr (std::floating_point<T>) {
    expect(json.is_number());
    *value = json.template get<T>();
  } else if constexpr (std::same_as<T, std::string>) {
    expect(json.is_string());
    *value = json.template get<std::string>();
  } else if constexpr (IsOptional<T>::value) {
    if (json.is_null()) {
      value->reset();
    } else {
      Read(origin, path, json, &value->emplace());
    }
  } else if constexpr (IsVector<T>::value) {
    expect(json.is_array());
    value->clear();
    for (size_t i = 0; i < json.size(); ++i) {
      typename T::value_type item{};
      Read(origin, path + "[" + std::to_string(i) + "]", json[i], &item);
      value->push_back(std::move(item));
    }
  } else if constexpr (IsStringMap<T>::value) {
    expect(json.is_object());
    value->clear();
    for (const auto& [key, item] : json.items()) {
      Read(origin, Join(path, key), item, &(*value)[key]);
    }
  } else {
    expect(json.is_object());
    Parser parser(origin, path, json);
    VisitFields(parser, *value);
    parser.Finish();
  }
}

template <typename T>
Json Write(const T& value) {
  if constexpr (IsOptional<T>::value) {
    return value ? Write(*value) : Json();
  } else if constexpr (IsVector<T>::value) {
    Json list = Json::array();
    for (const auto& item : value) list.push_back(Write(item));
    return list;
  } else if constexpr (IsStringMap<T>::value) {
    Json object = Json::object();
    for (const auto& [key, item] : value) object[key] = Write(item);
    return object;
  } else if constexpr (ConfigStruct<T>) {
    Printer printer;
    VisitFields(printer, const_cast<T&>(value));
    return printer.json;
  } else {
    return Json(value);
  }
}

}  // namespace json_fields

// `path` prefixes the keys in messages: the place of `json` in its file.
template <typename T>
T ParseFields(const Json& json, const std::string& origin,
              const std::string& path = "") {
  T value{};
  json_fields::Read(origin, path, json, &value);
  return value;
}

template <typename T>
Json PrintFields(const T& value) {
  return json_fields::Write(value);
}

// Every field with nested ones after their parent; defaults from T{}.
template <typename T>
std::vector<FieldDescription> DescribeFields() {
  T value{};
  json_fields::Describer describer("");
  VisitFields(describer, value);
  return describer.fields;
}

}  // namespace rattn
