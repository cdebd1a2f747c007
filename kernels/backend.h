// A backend executes Problems. Backends neither throw nor print nor exit nor
// allocate in a call; what they cannot do Supports() says in words.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "kernels/device.h"
#include "kernels/kv_cache.h"
#include "kernels/problem.h"

namespace rattn {

class Backend {
 public:
  virtual ~Backend() = default;
  virtual std::string_view name() const = 0;
  // One line for `rattn list`, with the ISA in use where that is a choice.
  virtual std::string description() const = 0;

  // Every other call requires Supports(problem).ok().
  virtual Support Supports(const Problem& problem) const = 0;
  // Scratch bytes that Forward, Backward or Extend of this problem needs.
  virtual size_t WorkspaceBytes(const Problem& problem) const = 0;

  // Phases kForward and kTrain.
  virtual void Forward(const Problem& problem, const Buffers& buffers,
                       Workspace workspace) const = 0;
  // Phase kTrain, after Forward on the same buffers.
  virtual void Backward(const Problem& problem, const Buffers& buffers,
                        Workspace workspace) const = 0;
  // Phases kExtend (query_len new tokens) and kDecode (query_len == 1): reads
  // q, k, v, writes o and brings the cache up to date. The cache was made for
  // the same spec, shape and dtype, lies in memory of cache_allocator() and has
  // room (KvCache::Reserve).
  virtual void Extend(const Problem& problem, const Buffers& buffers,
                      KvCache& cache, Workspace workspace) const = 0;
  virtual const Allocator& cache_allocator() const { return HostAllocator(); }

  // Of a backend whose calls must be timed on a device, since calls from here
  // take their tensors there and back; else null.
  virtual const DeviceTimer* timer() const { return nullptr; }
  // Of a backend on a device: the same calls for tensors that lie there.
  virtual const DeviceCalls* device_calls() const { return nullptr; }
};

struct BackendEntry {
  std::string_view name;
  std::string_view summary;
  // The backend, or nullptr with the reason why it cannot be used here.
  const Backend* (*get)(std::string* reason);
  // get() loads a large library: listings do not call it.
  bool on_demand = false;
  // Runs on a device of its own: the backend has timer() and device_calls().
  bool on_device = false;
};

// The one list of backends, the most trustworthy first.
std::span<const BackendEntry> BackendList();
// nullptr with a reason for an unknown or unusable name.
const Backend* FindBackend(std::string_view name, std::string* reason);

// LibTorch is loaded on demand and by a layer above this one: whoever can load
// it says here how. The loader returns nullptr with a reason on failure.
using BackendLoader = const Backend* (*)(std::string* reason);
void SetTorchBackendLoader(BackendLoader loader);

// Checks of shapes, heads and specs that hold for every backend: impossible
// problems are refused here, in one wording.
Support CheckProblem(const Problem& problem);
// The reason why a backend whose scores are not capped refuses a problem.
Support RefuseSoftcap(const Problem& problem);
// Shapes, dtypes and presence of the buffers that `problem` needs.
Support CheckBuffers(const Problem& problem, const Buffers& buffers,
                     bool backward);

}  // namespace rattn
