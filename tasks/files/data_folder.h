// A folder of data sets in their official formats, and the hashes of what was
// read of it. All files are untrusted.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "models/json_fields.h"
#include "tasks/files/csv.h"

namespace rattn {

// One row of a JSON file. Accessors throw UserError that names file, line (or
// item), key and what is expected.
class DataRow {
 public:
  DataRow(Json json, std::string origin)
      : json_(std::move(json)), origin_(std::move(origin)) {}
  const Json& json() const { return json_; }
  const std::string& origin() const { return origin_; }

  bool Has(std::string_view key) const;
  // UTF-8 text.
  std::string Text(std::string_view key) const;
  std::vector<std::string> Texts(std::string_view key) const;
  int64_t Integer(std::string_view key, int64_t least, int64_t most) const;
  DataRow Object(std::string_view key) const;
  std::vector<DataRow> Objects(std::string_view key) const;
  // UserError that begins with the origin.
  [[noreturn]] void Fail(const std::string& what) const;

 private:
  const Json& At(std::string_view key, const char* type) const;
  Json json_;
  std::string origin_;
};

class DataFolder {
 public:
  explicit DataFolder(std::string path) : path_(std::move(path)) {}

  // The same folder with nothing read.
  DataFolder Fresh() const { return DataFolder(path_); }

  bool Has(const std::string& name) const;
  // The first of `names` (relative to the folder) that exists. Throws UserError
  // that names the folder and all of them.
  std::string Find(const std::vector<std::string>& names) const;

  // Rows of a file with one JSON object a line; empty lines are left out.
  std::vector<DataRow> Jsonl(const std::string& name);
  // Rows of a file that is a JSON array of objects.
  std::vector<DataRow> JsonArray(const std::string& name);
  std::vector<CsvRow> Csv(const std::string& name);
  // Integers from `least` to `most`, one a line.
  std::vector<int64_t> Labels(const std::string& name, int64_t least,
                              int64_t most);
  std::string Text(const std::string& name);

  std::string Path(const std::string& name) const { return path_ + "/" + name; }
  // SHA-256 of every file read so far, by its name.
  const std::map<std::string, std::string>& hashes() const { return hashes_; }

 private:
  std::string path_;
  std::map<std::string, std::string> hashes_;
};

}  // namespace rattn
