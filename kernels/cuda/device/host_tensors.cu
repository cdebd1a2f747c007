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
    : host_(host), stream_(stream), device_(host) {
  const auto bring = [this](Member member) {
    TensorView& view = device_.*member;
    if (!view) return;
    const size_t bytes = SpanBytes(view);
    void* copy = Take(bytes);
    Copy(copy, view.data, bytes);
    view.data = copy;
  };
  for (Member input : kInputs) bring(input);
  // Outputs too: what lies in their gaps must survive.
  for (Member output : kOutputs) bring(output);
  workspace_ = {Take(workspace_bytes), workspace_bytes};
}

HostTensors::~HostTensors() {
  for (void* memory : taken_) cudaFreeAsync(memory, stream_);
}

void HostTensors::CopyOutputsBack() {
  for (Member output : kOutputs) {
    const TensorView& view = host_.*output;
    if (view) Copy(view.data, (device_.*output).data, SpanBytes(view));
  }
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
