#include "models/tokenizer/settings.h"

#include <fmt/format.h>

#include <charconv>

#include "models/tokenizer/tokenizer_file.h"

namespace rattn {
namespace {

constexpr const char* kConfig = "tokenizer_config.json";
constexpr const char* kMap = "special_tokens_map.json";

// A token as text or as {"content": text, ..}.
void ReadToken(const Component& component, const char* key,
               std::optional<std::string>* token) {
  if (token->has_value() || !component.Has(key)) return;
  *token = component.json()[key].is_object()
               ? component.Child(key).String("content")
               : component.String(key);
}

void ReadFlag(const Component& component, const char* key,
              std::optional<bool>* flag) {
  if (component.Has(key)) *flag = component.Bool(key, false);
}

// {"106": {"content": ..}, ..}
void ReadAdded(const Component& component, std::vector<AddedToken>* added) {
  constexpr const char* kKey = "added_tokens_decoder";
  if (!component.Has(kKey)) return;
  const Component decoder = component.Child(kKey);
  for (const auto& [key, value] : decoder.json().items()) {
    int64_t id = -1;
    const char* end = key.data() + key.size();
    const auto [at, error] = std::from_chars(key.data(), end, id);
    if (error != std::errc() || at != end) {
      decoder.Fail(
          fmt::format("has the key {}, which is no id", Json(key).dump()));
    }
    added->push_back(
        ReadAddedToken(decoder.Child(key.c_str()), id, kMostTokens));
  }
}

void ReadSettings(SourceFiles* files, const char* name,
                  TokenizerSettings* settings) {
  const std::optional<std::string> text = files->ReadIfPresent(name);
  if (!text) return;
  const Json json = ParseJsonText(*text, files->PathOf(name));
  const Component component(json, files->PathOf(name), "");
  ReadToken(component, "bos_token", &settings->bos);
  ReadToken(component, "eos_token", &settings->eos);
  ReadFlag(component, "add_bos_token", &settings->add_bos);
  ReadFlag(component, "add_eos_token", &settings->add_eos);
  ReadAdded(component, &settings->added);
}

// `list` becomes {id} or empty, as `add` says.
void Apply(const std::optional<bool>& add, int32_t id, const char* name,
           const std::string& folder, std::vector<int32_t>* list) {
  if (!add) return;
  list->clear();
  if (!*add) return;
  if (id < 0) {
    throw UserError(
        fmt::format("{}: add_{}_token is true, but there is no {}_token",
                    folder, name, name));
  }
  list->push_back(id);
}

}  // namespace

TokenizerSettings ReadTokenizerSettings(SourceFiles* files) {
  TokenizerSettings settings;
  ReadSettings(files, kConfig, &settings);
  ReadSettings(files, kMap, &settings);
  return settings;
}

SpecialIds ResolveSpecials(
    const TokenizerSettings& settings, SpecialIds ids,
    const std::string& folder,
    const std::function<int32_t(const std::string&)>& find) {
  const auto resolve = [&](const std::optional<std::string>& token,
                           const char* name, int32_t* id) {
    if (!token) return;
    *id = find(*token);
    if (*id < 0) {
      throw UserError(
          fmt::format("{}: the {}_token {} is not in the vocabulary", folder,
                      name, Json(*token).dump()));
    }
  };
  resolve(settings.bos, "bos", &ids.bos);
  resolve(settings.eos, "eos", &ids.eos);
  Apply(settings.add_bos, ids.bos, "bos", folder, &ids.before);
  Apply(settings.add_eos, ids.eos, "eos", folder, &ids.after);
  if (ids.bos < 0 && !ids.before.empty()) ids.bos = ids.before[0];
  return ids;
}

}  // namespace rattn
