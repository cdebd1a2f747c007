// The files that a tokenizer is made from, and the hash that names them.
#pragma once

#include <optional>
#include <string>

namespace rattn {

class SourceFiles {
 public:
  explicit SourceFiles(std::string folder);

  std::string PathOf(const std::string& name) const;
  bool Has(const std::string& name) const;
  // The content; it counts for the fingerprint. Throws UserError as
  // ReadTextFile does.
  std::string Read(const std::string& name);
  std::optional<std::string> ReadIfPresent(const std::string& name);
  // SHA-256 over names, sizes and contents of all that was read, in order.
  std::string Fingerprint() const;

 private:
  std::string folder_;
  std::string digests_;
};

}  // namespace rattn
