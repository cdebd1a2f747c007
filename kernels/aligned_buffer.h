// Buffers in the host's memory or in that of a backend's device.
#pragma once

#include <cstddef>
#include <memory>

namespace rattn {

// Where the bytes of a buffer come from.
class Allocator {
 public:
  virtual ~Allocator() = default;
  // Zero-filled and cache-line aligned. Throws std::bad_alloc.
  virtual void* Allocate(size_t bytes) const = 0;
  virtual void Free(void* data) const = 0;
  virtual void Zero(void* data, size_t bytes) const = 0;
  // Either side may be the host's. Behind whatever is queued on a device, and
  // done on return; throws std::runtime_error if the device fails.
  virtual void Copy(void* to, const void* from, size_t bytes) const = 0;
};

// Of the host; outlives every buffer.
const Allocator& HostAllocator();

// Cache-line aligned, zero-filled bytes. The allocator outlives them.
class AlignedBuffer {
 public:
  AlignedBuffer() = default;
  explicit AlignedBuffer(size_t bytes,
                         const Allocator& allocator = HostAllocator());
  AlignedBuffer(const AlignedBuffer& other);
  // A copy of `other` that lies elsewhere.
  AlignedBuffer(const AlignedBuffer& other, const Allocator& allocator);
  AlignedBuffer& operator=(const AlignedBuffer& other);
  AlignedBuffer(AlignedBuffer&&) noexcept = default;
  AlignedBuffer& operator=(AlignedBuffer&&) noexcept = default;

  void* data() const { return data_.get(); }
  size_t size() const { return bytes_; }
  void Zero();

 private:
  struct Free {
    Free() : allocator(nullptr) {}
    explicit Free(const Allocator* from) : allocator(from) {}
    void operator()(void* p) const { allocator->Free(p); }
    const Allocator* allocator;
  };
  const Allocator& allocator() const;

  std::unique_ptr<void, Free> data_;
  size_t bytes_ = 0;
};

}  // namespace rattn
