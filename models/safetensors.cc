#include "models/safetensors.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string_view>

#include "kernels/bf16.h"
#include "models/atomic_file.h"
#include "models/error.h"

namespace rattn {
namespace {

static_assert(std::endian::native == std::endian::little,
              "safetensors files are little-endian");

using Json = nlohmann::json;

constexpr size_t kLengthBytes = 8;
constexpr uint64_t kMaxHeader = 100'000'000;  // limit of the format's authors
constexpr int kMaxDepth = 4;                  // { name: { shape: [ number
constexpr std::string_view kMetadata = "__metadata__";

struct Half {
  uint16_t bits = 0;
};

double Widen(Half h) {
  const int exponent = (h.bits >> 10) & 31;
  const int mantissa = h.bits & 1023;
  double value;
  if (exponent == 31) {
    value = mantissa == 0 ? HUGE_VAL : std::nan("");
  } else if (exponent == 0) {
    value = std::ldexp(mantissa, -24);
  } else {
    value = std::ldexp(mantissa + 1024, exponent - 25);
  }
  return (h.bits & 0x8000) != 0 ? -value : value;
}
double Widen(Bf16 x) { return ToFloat(x); }
template <typename T>
double Widen(T x) {
  return static_cast<double>(x);
}

template <typename Out, typename In>
void Convert(const void* data, size_t count, Out* out) {
  const In* in = static_cast<const In*>(data);
  for (size_t i = 0; i < count; ++i) out[i] = static_cast<Out>(Widen(in[i]));
}

struct DtypeInfo {
  std::string_view name;
  size_t size;
  void (*to_doubles)(const void*, size_t, double*);
  void (*to_floats)(const void*, size_t, float*);
};

template <typename T>
constexpr DtypeInfo Info(std::string_view name) {
  return {name, sizeof(T), Convert<double, T>, Convert<float, T>};
}

constexpr std::array kDtypes = {
    Info<double>("F64"),   Info<float>("F32"),    Info<Half>("F16"),
    Info<Bf16>("BF16"),    Info<int64_t>("I64"),  Info<int32_t>("I32"),
    Info<int16_t>("I16"),  Info<int8_t>("I8"),    Info<uint64_t>("U64"),
    Info<uint32_t>("U32"), Info<uint16_t>("U16"), Info<uint8_t>("U8"),
    Info<uint8_t>("BOOL"),
};

const DtypeInfo* FindDtype(std::string_view name) {
  for (const DtypeInfo& info : kDtypes) {
    if (info.name == name) return &info;
  }
  return nullptr;
}

// Bytes of a tensor, or nothing when the product leaves 64 bits.
std::optional<uint64_t> TensorBytes(const std::vector<int64_t>& shape,
                                    size_t element) {
  int64_t product = static_cast<int64_t>(element);
  for (int64_t size : shape) {
    if (__builtin_mul_overflow(product, size, &product)) return std::nullopt;
  }
  return static_cast<uint64_t>(product);
}

template <typename T>
std::vector<T> Converted(const SafeTensor& tensor,
                         void (*convert)(const void*, size_t, T*)) {
  std::vector<T> out(static_cast<size_t>(tensor.NumElements()));
  convert(tensor.data, out.size(), out.data());
  return out;
}

// A read-only mapping of a whole file.
class Mapping {
 public:
  explicit Mapping(const std::string& path) {
    const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0) Fail(path);
    struct stat status {};
    if (::fstat(fd, &status) != 0 || !S_ISREG(status.st_mode)) {
      ::close(fd);
      throw UserError(fmt::format("{} is not a regular file", path));
    }
    size_ = static_cast<size_t>(status.st_size);
    if (size_ > 0) {
      data_ = ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, fd, 0);
    }
    ::close(fd);
    if (data_ == MAP_FAILED) Fail(path);
  }
  ~Mapping() {
    if (size_ > 0) ::munmap(data_, size_);
  }
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;
  const std::byte* data() const { return static_cast<std::byte*>(data_); }
  size_t size() const { return size_; }

 private:
  [[noreturn]] static void Fail(const std::string& path) {
    throw UserError(
        fmt::format("cannot read {}: {}", path, std::strerror(errno)));
  }
  void* data_ = nullptr;
  size_t size_ = 0;
};

}  // namespace

int64_t SafeTensor::NumElements() const {
  int64_t product = 1;
  for (int64_t size : shape) product *= size;
  return product;
}

std::vector<double> SafeTensor::ToDoubles() const {
  return Converted<double>(*this, FindDtype(dtype)->to_doubles);
}

std::vector<float> SafeTensor::ToFloats() const {
  return Converted<float>(*this, FindDtype(dtype)->to_floats);
}

struct SafeTensorsFile::Impl {
  explicit Impl(const std::string& file) : path(file), mapping(file) { Read(); }

  [[noreturn]] void Fail(std::string_view what) const {
    throw UserError(
        fmt::format("{} is not a valid safetensors file: {}", path, what));
  }
  void Read();
  Json ParseHeader(std::string_view text) const;
  void ReadMetadata(const Json& entry);
  void ReadTensor(const std::string& name, const Json& entry);
  std::vector<int64_t> ReadShape(const std::string& name,
                                 const Json& entry) const;
  const void* Aligned(uint64_t begin, size_t bytes, size_t alignment);
  void CheckOverlaps();

  std::string path;
  Mapping mapping;
  size_t payload = 0;  // offset of the first tensor byte
  std::map<std::string, SafeTensor> tensors;
  std::map<std::string, std::string> metadata;
  std::vector<std::pair<uint64_t, uint64_t>> ranges;
  std::vector<std::unique_ptr<std::byte[]>> copies;
};

void SafeTensorsFile::Impl::Read() {
  uint64_t header = 0;
  if (mapping.size() < kLengthBytes) Fail("it is shorter than 8 bytes");
  std::memcpy(&header, mapping.data(), kLengthBytes);
  if (header > kMaxHeader || header > mapping.size() - kLengthBytes) {
    Fail(fmt::format("its header of {} bytes does not fit in {} bytes", header,
                     mapping.size()));
  }
  payload = kLengthBytes + static_cast<size_t>(header);
  const Json json =
      ParseHeader({reinterpret_cast<const char*>(mapping.data()) + kLengthBytes,
                   static_cast<size_t>(header)});
  if (!json.is_object()) Fail("its header is not a JSON object");
  for (const auto& [name, entry] : json.items()) {
    if (name == kMetadata) {
      ReadMetadata(entry);
    } else {
      ReadTensor(name, entry);
    }
  }
  CheckOverlaps();
}

Json SafeTensorsFile::Impl::ParseHeader(std::string_view text) const {
  std::set<std::string> names;
  const auto check = [&](int depth, Json::parse_event_t event, Json& parsed) {
    if (depth > kMaxDepth) Fail("its header is nested too deep");
    if (event == Json::parse_event_t::key && depth == 1 &&
        !names.insert(parsed.get<std::string>()).second) {
      Fail(fmt::format("tensor '{}' appears twice", parsed.get<std::string>()));
    }
    return true;
  };
  try {
    return Json::parse(text, check);
  } catch (const Json::exception&) {
    Fail("its header is not JSON");
  }
}

void SafeTensorsFile::Impl::ReadMetadata(const Json& entry) {
  if (!entry.is_object()) Fail("__metadata__ is not an object");
  for (const auto& [key, value] : entry.items()) {
    if (!value.is_string()) {
      Fail(fmt::format("metadata '{}' is not a string", key));
    }
    metadata[key] = value.get<std::string>();
  }
}

std::vector<int64_t> SafeTensorsFile::Impl::ReadShape(const std::string& name,
                                                      const Json& entry) const {
  const auto shape = entry.find("shape");
  if (shape == entry.end() || !shape->is_array()) {
    Fail(fmt::format("tensor '{}' has no shape", name));
  }
  std::vector<int64_t> sizes;
  for (const Json& size : *shape) {
    if (!size.is_number_unsigned() || size.get<uint64_t>() > INT64_MAX) {
      Fail(fmt::format("tensor '{}' has a bad axis in its shape", name));
    }
    sizes.push_back(size.get<int64_t>());
  }
  return sizes;
}

void SafeTensorsFile::Impl::ReadTensor(const std::string& name,
                                       const Json& entry) {
  if (!entry.is_object()) Fail(fmt::format("'{}' is not an object", name));
  const auto dtype = entry.find("dtype");
  const DtypeInfo* info = nullptr;
  if (dtype != entry.end() && dtype->is_string()) {
    info = FindDtype(dtype->get_ref<const std::string&>());
  }
  if (info == nullptr)
    Fail(fmt::format("tensor '{}' has no known dtype", name));
  SafeTensor tensor;
  tensor.dtype = info->name;
  tensor.shape = ReadShape(name, entry);
  const auto offsets = entry.find("data_offsets");
  if (offsets == entry.end() || !offsets->is_array() || offsets->size() != 2 ||
      !(*offsets)[0].is_number_unsigned() ||
      !(*offsets)[1].is_number_unsigned()) {
    Fail(fmt::format("tensor '{}' has no data_offsets", name));
  }
  const uint64_t begin = (*offsets)[0].get<uint64_t>();
  const uint64_t end = (*offsets)[1].get<uint64_t>();
  if (begin > end || end > mapping.size() - payload) {
    Fail(fmt::format("tensor '{}' lies outside of the file", name));
  }
  if (TensorBytes(tensor.shape, info->size) != end - begin) {
    Fail(fmt::format("tensor '{}' of shape [{}] does not fill its {} bytes",
                     name, fmt::join(tensor.shape, ", "), end - begin));
  }
  tensor.bytes = static_cast<size_t>(end - begin);
  if (tensor.bytes > 0) ranges.emplace_back(begin, end);
  tensor.data = Aligned(begin, tensor.bytes, info->size);
  tensors.emplace(name, std::move(tensor));
}

// Writers other than ours may leave tensors at odd addresses.
const void* SafeTensorsFile::Impl::Aligned(uint64_t begin, size_t bytes,
                                           size_t alignment) {
  const std::byte* at = mapping.data() + payload + begin;
  if (reinterpret_cast<uintptr_t>(at) % alignment == 0) return at;
  copies.push_back(std::make_unique<std::byte[]>(bytes));
  std::copy_n(at, bytes, copies.back().get());
  return copies.back().get();
}

void SafeTensorsFile::Impl::CheckOverlaps() {
  std::sort(ranges.begin(), ranges.end());
  for (size_t i = 1; i < ranges.size(); ++i) {
    if (ranges[i].first < ranges[i - 1].second) Fail("its tensors overlap");
  }
}

SafeTensorsFile::SafeTensorsFile(const std::string& path)
    : impl_(std::make_unique<Impl>(path)) {}
SafeTensorsFile::~SafeTensorsFile() = default;
SafeTensorsFile::SafeTensorsFile(SafeTensorsFile&&) noexcept = default;
SafeTensorsFile& SafeTensorsFile::operator=(SafeTensorsFile&&) noexcept =
    default;

const std::map<std::string, SafeTensor>& SafeTensorsFile::tensors() const {
  return impl_->tensors;
}

const std::map<std::string, std::string>& SafeTensorsFile::metadata() const {
  return impl_->metadata;
}

const SafeTensor* SafeTensorsFile::Find(const std::string& name) const {
  const auto found = impl_->tensors.find(name);
  return found == impl_->tensors.end() ? nullptr : &found->second;
}

const SafeTensor& SafeTensorsFile::Get(const std::string& name) const {
  if (const SafeTensor* tensor = Find(name)) return *tensor;
  std::vector<std::string_view> names;
  for (const auto& [known, tensor] : impl_->tensors) names.push_back(known);
  throw UserError(fmt::format(
      "{} has no tensor '{}'; it has {}", impl_->path, name,
      names.empty() ? "none" : fmt::format("{}", fmt::join(names, ", "))));
}

void SafeTensorsWriter::Add(const std::string& name, const std::string& dtype,
                            std::vector<int64_t> shape, const void* data,
                            size_t bytes) {
  const DtypeInfo* info = FindDtype(dtype);
  if (info == nullptr || TensorBytes(shape, info->size) != bytes) {
    throw RunError(fmt::format("tensor '{}': {} bytes are not {} [{}]", name,
                               bytes, dtype, fmt::join(shape, ", ")));
  }
  for (const Entry& entry : entries_) {
    if (entry.name == name) {
      throw RunError(fmt::format("tensor '{}' was added twice", name));
    }
  }
  const std::byte* begin = static_cast<const std::byte*>(data);
  entries_.push_back({name, dtype, std::move(shape), {begin, begin + bytes}});
}

void SafeTensorsWriter::SetMetadata(const std::string& key,
                                    const std::string& value) {
  metadata_[key] = value;
}

void SafeTensorsWriter::Write(const std::string& path) const {
  std::vector<const Entry*> order;
  for (const Entry& entry : entries_) order.push_back(&entry);
  // Widest elements first, so that every tensor of a mapped file is aligned.
  std::stable_sort(
      order.begin(), order.end(), [](const Entry* a, const Entry* b) {
        return FindDtype(a->dtype)->size > FindDtype(b->dtype)->size;
      });
  Json header = Json::object();
  if (!metadata_.empty()) header[kMetadata] = metadata_;
  std::vector<std::string_view> pieces(2);
  uint64_t offset = 0;
  for (const Entry* entry : order) {
    header[entry->name] = {
        {"dtype", entry->dtype},
        {"shape", entry->shape},
        {"data_offsets", {offset, offset + entry->bytes.size()}}};
    offset += entry->bytes.size();
    pieces.emplace_back(reinterpret_cast<const char*>(entry->bytes.data()),
                        entry->bytes.size());
  }
  std::string text =
      header.dump(-1, ' ', false, Json::error_handler_t::replace);
  text.resize((text.size() + 7) / 8 * 8, ' ');
  const uint64_t length = text.size();
  pieces[0] = {reinterpret_cast<const char*>(&length), kLengthBytes};
  pieces[1] = text;
  WriteFileAtomically(path, pieces);
}

}  // namespace rattn
