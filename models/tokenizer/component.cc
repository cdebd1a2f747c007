#include "models/tokenizer/component.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <utility>

namespace rattn {

Component::Component(const Json& json, std::string file, std::string path)
    : json_(&json), file_(std::move(file)), path_(std::move(path)) {}

void Component::Fail(const std::string& what) const {
  const std::string place = path_.empty() ? "it" : "\"" + path_ + "\"";
  throw UserError(fmt::format("{}: {} {}", file_, place, what));
}

void Component::Unsupported(std::span<const std::string_view> known) const {
  Fail(fmt::format("of type {} is not supported (supported: {})",
                   Json(Type()).dump(), fmt::join(known, ", ")));
}

const Json* Component::Find(const char* key) const {
  if (!json_->is_object()) Fail("must be an object");
  const auto found = json_->find(key);
  return found == json_->end() || found->is_null() ? nullptr : &*found;
}

const Json& Component::Get(const char* key, const char* expected,
                           bool (*holds)(const Json&)) const {
  const Json* value = Find(key);
  if (value == nullptr) Fail(fmt::format("needs the key \"{}\"", key));
  if (!holds(*value)) Fail(fmt::format("needs {} for \"{}\"", expected, key));
  return *value;
}

bool Component::Has(const char* key) const { return Find(key) != nullptr; }

std::string Component::Type() const { return String("type"); }

bool Component::Bool(const char* key, bool fallback) const {
  if (!Has(key)) return fallback;
  return Get(key, "true or false", [](const Json& j) { return j.is_boolean(); })
      .get<bool>();
}

int64_t Component::Int(const char* key, int64_t fallback) const {
  if (!Has(key)) return fallback;
  const auto holds = [](const Json& j) {
    return j.is_number_unsigned() && j.get<uint64_t>() <= INT32_MAX;
  };
  return Get(key, "a whole number below 2^31", holds).get<int64_t>();
}

std::string Component::String(const char* key) const {
  return Get(key, "a string", [](const Json& j) { return j.is_string(); })
      .get<std::string>();
}

std::string Component::String(const char* key,
                              const std::string& fallback) const {
  return Has(key) ? String(key) : fallback;
}

Component Component::Child(const char* key) const {
  const Json& json =
      Get(key, "an object", [](const Json& j) { return j.is_object(); });
  return {json, file_, json_fields::Join(path_, key)};
}

std::vector<Component> Component::List(const char* key) const {
  const Json& json =
      Get(key, "a list", [](const Json& j) { return j.is_array(); });
  std::vector<Component> list;
  for (size_t i = 0; i < json.size(); ++i) {
    list.emplace_back(json[i], file_,
                      fmt::format("{}[{}]", json_fields::Join(path_, key), i));
  }
  return list;
}

}  // namespace rattn
