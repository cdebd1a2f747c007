// safetensors files: 8 bytes little-endian header length, JSON header, raw
// row-major little-endian arrays. Files are untrusted: every size, offset and
// shape is checked against the file's length before use.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace rattn {

struct SafeTensor {
  std::string dtype;  // "F64", "F32", "BF16", "F16", "I64", "I32", "U8", ...
  std::vector<int64_t> shape;
  const void* data = nullptr;  // aligned to the element size
  size_t bytes = 0;
  int64_t NumElements() const;
  // Any of the float and integer types, widened.
  std::vector<double> ToDoubles() const;
  std::vector<float> ToFloats() const;
};

// A memory-mapped file; tensors point into it and live as long as it does.
class SafeTensorsFile {
 public:
  // Throws UserError: missing, truncated, malformed.
  explicit SafeTensorsFile(const std::string& path);
  ~SafeTensorsFile();
  SafeTensorsFile(SafeTensorsFile&&) noexcept;
  SafeTensorsFile& operator=(SafeTensorsFile&&) noexcept;

  const std::map<std::string, SafeTensor>& tensors() const;
  const std::map<std::string, std::string>& metadata() const;
  // nullptr if absent.
  const SafeTensor* Find(const std::string& name) const;
  // Throws UserError that lists what is there.
  const SafeTensor& Get(const std::string& name) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// Collects tensors and writes them atomically (temporary file, fsync, rename).
class SafeTensorsWriter {
 public:
  void Add(const std::string& name, const std::string& dtype,
           std::vector<int64_t> shape, const void* data, size_t bytes);
  void SetMetadata(const std::string& key, const std::string& value);
  void Write(const std::string& path) const;  // throws RunError

 private:
  struct Entry {
    std::string name, dtype;
    std::vector<int64_t> shape;
    std::vector<std::byte> bytes;
  };
  std::vector<Entry> entries_;
  std::map<std::string, std::string> metadata_;
};

}  // namespace rattn
