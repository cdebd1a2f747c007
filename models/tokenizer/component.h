// One component of a tokenizer.json (a normalizer, a decoder, ..) with the
// place where it stands, so that every error can name it.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "models/json_fields.h"

namespace rattn {

class Component {
 public:
  // `json` must outlive the component. `file` and `path` are for errors.
  Component(const Json& json, std::string file, std::string path);

  const Json& json() const { return *json_; }
  const std::string& file() const { return file_; }
  bool Is(std::string_view type) const { return Type() == type; }
  std::string Type() const;
  // Present and not null.
  bool Has(const char* key) const;
  bool Bool(const char* key, bool fallback) const;
  int64_t Int(const char* key, int64_t fallback) const;
  std::string String(const char* key) const;
  std::string String(const char* key, const std::string& fallback) const;
  Component Child(const char* key) const;
  std::vector<Component> List(const char* key) const;

  // Throw UserErrors of one line.
  [[noreturn]] void Fail(const std::string& what) const;
  [[noreturn]] void Unsupported(std::span<const std::string_view> known) const;

 private:
  const Json* Find(const char* key) const;
  const Json& Get(const char* key, const char* expected,
                  bool (*holds)(const Json&)) const;

  const Json* json_;
  std::string file_, path_;
};

// The maker of the component's type in a table of {type, make}. Throws
// UserError that names the type where the table has none.
template <typename Table>
auto MakeFrom(const Table& table, const Component& component) {
  std::vector<std::string_view> known;
  for (const auto& entry : table) {
    if (component.Is(entry.type)) return entry.make(component);
    known.push_back(entry.type);
  }
  component.Unsupported(known);
}

}  // namespace rattn
