#include "models/tokenizer/source_files.h"

#include <fmt/format.h>

#include <filesystem>
#include <utility>

#include "models/json_fields.h"
#include "models/sha256.h"

namespace rattn {

SourceFiles::SourceFiles(std::string folder) : folder_(std::move(folder)) {}

std::string SourceFiles::PathOf(const std::string& name) const {
  return (std::filesystem::path(folder_) / name).string();
}

bool SourceFiles::Has(const std::string& name) const {
  std::error_code error;
  return std::filesystem::exists(PathOf(name), error);
}

std::string SourceFiles::Read(const std::string& name) {
  std::string text = ReadTextFile(PathOf(name));
  digests_ += fmt::format("{} {} {}\n", name, text.size(), Sha256Hex(text));
  return text;
}

std::optional<std::string> SourceFiles::ReadIfPresent(const std::string& name) {
  if (!Has(name)) return std::nullopt;
  return Read(name);
}

std::string SourceFiles::Fingerprint() const { return Sha256Hex(digests_); }

}  // namespace rattn
