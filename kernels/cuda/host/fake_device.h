// Tests only: a GPU that is not there. Its memory is the host's, but closed to
// every access except inside of its library's calls, so that host code that
// reads or writes it dies; its kernels are executed on the CPU (exec_host.h).
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include "kernels/backend.h"
#include "kernels/cuda/cuda_library.h"
#include "kernels/cuda/host/findings.h"

namespace rattn::cuda {

class FakeDevice {
 public:
  // The one of the process.
  static FakeDevice& Get();

  void* Allocate(size_t bytes);  // null where it is full
  void Free(void* data);
  bool Owns(const void* data) const;
  size_t allocations() const { return used_.size(); }

  // While one exists, any thread may use the memory.
  class Access {
   public:
    Access();
    ~Access();
    Access(const Access&) = delete;
    Access& operator=(const Access&) = delete;
  };

  // What the library's calls were given, in their order.
  std::vector<void*> streams;
  std::vector<void*> workspaces;
  int calls_from_host = 0;
  int64_t timed_calls = 0;
  Findings findings;

 private:
  FakeDevice();
  std::byte* memory_;
  struct Piece {
    size_t at, bytes;
  };
  std::vector<Piece> used_;  // by address
};

// What its timer says of every call; of many it runs the first, on a cache.
inline constexpr double kFakeSeconds = 1e-4;

// The cuda backend on that device.
std::unique_ptr<const Backend> MakeFakeCudaBackend();

}  // namespace rattn::cuda
