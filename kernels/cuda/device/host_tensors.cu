#include "kernels/cuda/device/host_tensors.h"

namespace rattn::cuda {
namespace {

using Member = TensorView Buffers::*;
// Read by a pass only.
constexpr Member kInputs[] = {&Buffers::q,
                              &Buffers::k,
                              &Buffers::v,
                              &Buffers::q_memory,
                              &Buffers::k_memory,
                              &Buffers::norm_local,
                              &Buffers::norm_memory,
                              &Buffers::sink_logit,
                              &Buffers::initial_state,
                              &Buffers::d_o,
                              &Buffers::d_final_state};
// Written by one of the passes.
constexpr Member kOutputs[] = {&Buffers::o,
                               &Buffers::final_state,
                               &Buffers::max_logits,
                               &Buffers::lse,
                               &Buffers::o_local,
                               &Buffers::o_memory,
                               &Buffers::dq,
                               &Buffers::dk,
                               &Buffers::dv,
                               &Buffers::dq_memory,
                               &Buffers::dk_memory,
                               &Buffers::d_norm_local,
                               &Buffers::d_norm_memory,
                               &Buffers::d_sink_logit,
                               &Buffers::d_initial_state};

// From the first element to the last, gaps included.
size_t SpanBytes(const TensorView& view) {
  int64_t last = 0;
  for (size_t axis = 0; axis < 4; ++axis) {
    last += (view.shape[axis] - 1) * view.stride[axis];
  }
  return static_cast<size_t>(last + 1) * ByteSize(view.dtype);
}

}  // namespace

HostTensors::HostTensors(const Buffers& host, size_t workspace_bytes,
                         cudaStream_t stream)
    : stream_(stream), device_(host) {
  for (Member input : kInputs) BringView(&(device_.*input), false);
  for (Member output : kOutputs) BringView(&(device_.*output), true);
  workspace_ = {Take(workspace_bytes), workspace_bytes};
}

HostTensors::~HostTensors() {
  for (void* memory : taken_) cudaFreeAsync(memory, stream_);
}

// Outputs are brought, too: what lies in their gaps must survive.
void HostTensors::BringView(TensorView* view, bool written) {
  if (!*view || view->NumElements() == 0) return;
  view->data = Bring(view->data, SpanBytes(*view), written);
}

void* HostTensors::Bring(void* host, size_t bytes, bool written) {
  void* copy = Take(bytes);
  Copy(copy, host, bytes);
  if (written) written_.push_back({host, copy, bytes});
  return copy;
}

void HostTensors::CopyOutputsBack() {
  for (const Written& w : written_) Copy(w.host, w.device, w.bytes);
}

void* HostTensors::Take(size_t bytes) {
  void* memory = nullptr;
  const cudaError_t error = cudaMallocAsync(&memory, bytes + 1, stream_);
  if (error_ == cudaSuccess) error_ = error;
  if (error == cudaSuccess) taken_.push_back(memory);
  return memory;
}

void HostTensors::Copy(void* to, const void* from, size_t bytes) {
  if (error_ != cudaSuccess) return;
  error_ = cudaMemcpyAsync(to, from, bytes, cudaMemcpyDefault, stream_);
}

}  // namespace rattn::cuda
