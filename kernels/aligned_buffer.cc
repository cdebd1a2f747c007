#include "kernels/aligned_buffer.h"

#if defined(__linux__)
#include <sys/mman.h>
#endif

#include <cstdlib>
#include <cstring>
#include <new>

namespace rattn {
namespace {

constexpr size_t kAlignment = 64;
constexpr size_t kHugePage = size_t{2} << 20;

class Host : public Allocator {
 public:
  void* Allocate(size_t bytes) const override {
    // Rows of one head lie pages apart: with small pages each is a TLB miss.
    const bool huge = bytes >= kHugePage;
    const size_t alignment = huge ? kHugePage : kAlignment;
    const size_t rounded = (bytes + alignment - 1) / alignment * alignment;
    if (rounded < bytes) throw std::bad_alloc();
    void* data = std::aligned_alloc(alignment, rounded);
    if (data == nullptr) throw std::bad_alloc();
#if defined(__linux__)
    // A wish only; what is left at the end stays in small pages.
    if (huge) madvise(data, bytes / kHugePage * kHugePage, MADV_HUGEPAGE);
#endif
    std::memset(data, 0, bytes);
    return data;
  }
  void Free(void* data) const override { std::free(data); }
  void Zero(void* data, size_t bytes) const override {
    std::memset(data, 0, bytes);
  }
  void Copy(void* to, const void* from, size_t bytes) const override {
    std::memcpy(to, from, bytes);
  }
};

}  // namespace

const Allocator& HostAllocator() {
  static const Host& host = *new Host;  // buffers may be freed at exit
  return host;
}

AlignedBuffer::AlignedBuffer(size_t bytes, const Allocator& allocator)
    : data_(nullptr, Free(&allocator)), bytes_(bytes) {
  if (bytes > 0) data_.reset(allocator.Allocate(bytes));
}

AlignedBuffer::AlignedBuffer(const AlignedBuffer& other)
    : AlignedBuffer(other, other.allocator()) {}

AlignedBuffer::AlignedBuffer(const AlignedBuffer& other,
                             const Allocator& allocator)
    : AlignedBuffer(other.bytes_, allocator) {
  if (bytes_ == 0) return;
  // A device knows the host's memory, but not the other way round.
  const bool to_host = &allocator == &HostAllocator();
  (to_host ? other.allocator() : allocator)
      .Copy(data_.get(), other.data_.get(), bytes_);
}

AlignedBuffer& AlignedBuffer::operator=(const AlignedBuffer& other) {
  if (this != &other) *this = AlignedBuffer(other);
  return *this;
}

void AlignedBuffer::Zero() {
  if (bytes_ > 0) allocator().Zero(data_.get(), bytes_);
}

const Allocator& AlignedBuffer::allocator() const {
  const Allocator* own = data_.get_deleter().allocator;
  return own != nullptr ? *own : HostAllocator();
}

}  // namespace rattn
