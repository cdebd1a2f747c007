#include "tasks/files/data_folder.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <charconv>
#include <filesystem>
#include <functional>

#include "models/error.h"
#include "models/sha256.h"
#include "tasks/utf8_file.h"

namespace rattn {
namespace {

// Calls use(line, number) for every line that is not empty.
void ForEachLine(std::string_view text,
                 const std::function<void(std::string_view, int64_t)>& use) {
  int64_t number = 0;
  while (!text.empty()) {
    const size_t end = text.find('\n');
    std::string_view line = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    ++number;
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (!line.empty()) use(line, number);
  }
}

DataRow MakeRow(Json json, std::string origin) {
  if (!json.is_object()) {
    throw UserError(fmt::format("{}: must be a JSON object, is {}", origin,
                                json.type_name()));
  }
  return DataRow(std::move(json), std::move(origin));
}

}  // namespace

bool DataRow::Has(std::string_view key) const { return json_.contains(key); }

void DataRow::Fail(const std::string& what) const {
  throw UserError(fmt::format("{}: {}", origin_, what));
}

const Json& DataRow::At(std::string_view key, const char* type) const {
  const auto found = json_.find(key);
  if (found == json_.end()) {
    Fail(fmt::format("\"{}\" is missing, it must be {}", key, type));
  }
  return *found;
}

std::string DataRow::Text(std::string_view key) const {
  const Json& value = At(key, "a string");
  if (!value.is_string()) Fail(fmt::format("\"{}\" must be a string", key));
  return value.get<std::string>();
}

std::vector<std::string> DataRow::Texts(std::string_view key) const {
  const Json& value = At(key, "a list of strings");
  std::vector<std::string> texts;
  for (const Json& item : value) {
    if (!value.is_array() || !item.is_string()) {
      Fail(fmt::format("\"{}\" must be a list of strings", key));
    }
    texts.push_back(item.get<std::string>());
  }
  return texts;
}

int64_t DataRow::Integer(std::string_view key, int64_t least,
                         int64_t most) const {
  const Json& value = At(key, "an integer");
  if (!value.is_number_integer() || !json_fields::InRange<int64_t>(value) ||
      value.get<int64_t>() < least || value.get<int64_t>() > most) {
    Fail(fmt::format("\"{}\" must be an integer from {} to {}", key, least,
                     most));
  }
  return value.get<int64_t>();
}

DataRow DataRow::Object(std::string_view key) const {
  return MakeRow(At(key, "an object"), fmt::format("{}: \"{}\"", origin_, key));
}

std::vector<DataRow> DataRow::Objects(std::string_view key) const {
  const Json& value = At(key, "a list of objects");
  if (!value.is_array()) Fail(fmt::format("\"{}\" must be a list", key));
  std::vector<DataRow> rows;
  for (const Json& item : value) {
    rows.push_back(MakeRow(
        item, fmt::format("{}: \"{}\" item {}", origin_, key, rows.size())));
  }
  return rows;
}

bool DataFolder::Has(const std::string& name) const {
  std::error_code error;
  return std::filesystem::is_regular_file(Path(name), error);
}

std::string DataFolder::Find(const std::vector<std::string>& names) const {
  for (const std::string& name : names) {
    if (Has(name)) return name;
  }
  throw UserError(fmt::format("{}: no {} there; --data names the folder", path_,
                              fmt::join(names, " nor ")));
}

std::string DataFolder::Text(const std::string& name) {
  std::string text = ReadUtf8File(Path(name));
  hashes_.emplace(name, Sha256Hex(text));
  return text;
}

std::vector<DataRow> DataFolder::Jsonl(const std::string& name) {
  const std::string text = Text(name);
  std::vector<DataRow> rows;
  ForEachLine(text, [&](std::string_view line, int64_t number) {
    const std::string origin = fmt::format("{}:{}", Path(name), number);
    rows.push_back(MakeRow(ParseJsonText(line, origin), origin));
  });
  return rows;
}

std::vector<DataRow> DataFolder::JsonArray(const std::string& name) {
  Json all = ParseJsonText(Text(name), Path(name));
  if (!all.is_array()) {
    throw UserError(Path(name) + ": must be a JSON array of objects");
  }
  std::vector<DataRow> rows;
  rows.reserve(all.size());
  for (Json& item : all) {
    rows.push_back(MakeRow(
        std::move(item), fmt::format("{}: item {}", Path(name), rows.size())));
  }
  return rows;
}

std::vector<CsvRow> DataFolder::Csv(const std::string& name) {
  return ParseCsv(Text(name), Path(name));
}

std::vector<int64_t> DataFolder::Labels(const std::string& name, int64_t least,
                                        int64_t most) {
  const std::string text = Text(name);
  std::vector<int64_t> labels;
  ForEachLine(text, [&](std::string_view line, int64_t number) {
    int64_t label = 0;
    const char* end = line.data() + line.size();
    const auto parsed = std::from_chars(line.data(), end, label);
    if (parsed.ec != std::errc() || parsed.ptr != end || label < least ||
        label > most) {
      throw UserError(fmt::format("{}:{}: must be an integer from {} to {}",
                                  Path(name), number, least, most));
    }
    labels.push_back(label);
  });
  return labels;
}

}  // namespace rattn
