// Tests only: torch.ops.rattn.mixer and what it should give.
#pragma once

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/library.h>

#include <optional>
#include <span>
#include <string>

#include "kernels/reference/reference_backend.h"
#include "kernels/test_tensors.h"

namespace rattn {

using OptionalTensor = std::optional<at::Tensor>;

inline at::Tensor Mixer(const at::Tensor& q, const at::Tensor& k,
                        const at::Tensor& v, const std::string& variant,
                        int64_t window,
                        const OptionalTensor& norm_local = std::nullopt,
                        const OptionalTensor& norm_memory = std::nullopt,
                        double rope_theta = 0,
                        const OptionalTensor& cu_seqlens = std::nullopt) {
  using Signature =
      at::Tensor(const at::Tensor&, const at::Tensor&, const at::Tensor&,
                 const std::string&, int64_t, int64_t, const OptionalTensor&,
                 const OptionalTensor&, double, const OptionalTensor&);
  static const auto op = c10::Dispatcher::singleton()
                             .findSchemaOrThrow("rattn::mixer", "")
                             .typed<Signature>();
  return op.call(q, k, v, variant, window, -1, norm_local, norm_memory,
                 rope_theta, cu_seqlens);
}

// What the operator says of a call that it refuses.
template <typename... Arguments>
std::string MixerError(const Arguments&... arguments) {
  try {
    Mixer(arguments...);
  } catch (const c10::Error& e) {
    return e.what_without_backtrace();
  }
  return "";
}

inline constexpr int64_t kMixerPack[] = {0, 5, 5, 6, 37};

// A call with gradients, of a batch or of a pack, computed by the reference in
// fp64 from inputs that `dtype` can hold.
struct MixerCase {
  MixerCase(const std::string& variant_name, at::ScalarType type,
            std::span<const int64_t> pack = {})
      : name(variant_name), dtype(type), tensors(Prepare(pack), {}, 3) {
    Buffers& b = tensors.buffers;
    b.d_final_state = {};
    for (const TensorView* view : {&b.q, &b.k, &b.v, &b.d_o}) {
      const at::Tensor t = At(*view);
      t.copy_(t.to(dtype));
    }
    RunForward(*ReferenceBackend(), problem, b);
    RunBackward(*ReferenceBackend(), problem, b);
  }
  // The tensors' memory; the reference's is fp64.
  static at::Tensor At(const TensorView& view) {
    return at::from_blob(view.data, view.shape, view.stride, at::kDouble);
  }
  at::Tensor Q() const { return At(tensors.buffers.q).to(dtype); }
  at::Tensor K() const { return At(tensors.buffers.k).to(dtype); }
  at::Tensor V() const { return At(tensors.buffers.v).to(dtype); }
  bool normed() const { return static_cast<bool>(tensors.buffers.norm_local); }
  // [Hq, Dv]
  at::Tensor Scale(const TensorView& view) const {
    return At(view).to(at::kFloat).flatten(0, 2);
  }

  static constexpr double kTheta = 1e4;
  std::string name;
  at::ScalarType dtype;
  Problem problem;
  int64_t window = 0;
  TestTensors tensors;

 private:
  const Problem& Prepare(std::span<const int64_t> pack) {
    const Variant& variant = *FindVariant(name);
    window = variant.takes_window ? 7 : 0;
    problem.spec = TestSpec(variant, 7);
    problem.phase = Phase::kTrain;
    problem.dtype = Dtype::kF64;
    problem.shape = MakeShape(pack.empty() ? 2 : 1, 4, 2, 37, 37, 16, 24);
    problem.cu_seqlens = pack;
    problem.positions = {.rope = true, .theta = kTheta};
    return problem;
  }
};

struct MixerResult {
  at::Tensor o, dq, dk, dv, d_norm_local, d_norm_memory;
};

inline MixerResult RunMixer(const MixerCase& c, at::Device device) {
  const auto leaf = [&](const at::Tensor& t) {
    return t.to(device).requires_grad_(true);
  };
  const at::Tensor q = leaf(c.Q()), k = leaf(c.K()), v = leaf(c.V());
  OptionalTensor local, memory;
  if (c.normed()) {
    local = leaf(c.Scale(c.tensors.buffers.norm_local));
    memory = leaf(c.Scale(c.tensors.buffers.norm_memory));
  }
  OptionalTensor pack;
  if (const auto offsets = c.problem.cu_seqlens; !offsets.empty()) {
    pack = at::tensor(at::ArrayRef(offsets.data(), offsets.size()));
  }
  const at::Tensor o =
      Mixer(q, k, v, c.name, c.window, local, memory, MixerCase::kTheta, pack);
  const at::Tensor d_o = MixerCase::At(c.tensors.buffers.d_o).to(c.dtype);
  torch::autograd::backward({o}, {d_o.to(device)});
  MixerResult result{o.detach(), q.grad(), k.grad(), v.grad(), {}, {}};
  if (local) {
    result.d_norm_local = local->grad();
    result.d_norm_memory = memory->grad();
  }
  return result;
}

inline double MixerRmse(const at::Tensor& got, const TensorView& want) {
  const at::Tensor dense = got.cpu().to(at::kDouble).contiguous();
  const double* data = dense.const_data_ptr<double>();
  return RelativeRms(std::vector<double>(data, data + dense.numel()),
                     TestTensors::Flat(want));
}

inline void ExpectNear(const MixerCase& c, const MixerResult& got, double o,
                       double gradient) {
  const Buffers& b = c.tensors.buffers;
  EXPECT_LE(MixerRmse(got.o, b.o), o);
  EXPECT_LE(MixerRmse(got.dq, b.dq), gradient);
  EXPECT_LE(MixerRmse(got.dk, b.dk), gradient);
  EXPECT_LE(MixerRmse(got.dv, b.dv), gradient);
  if (!c.normed()) return;
  EXPECT_LE(MixerRmse(got.d_norm_local, b.d_norm_local), gradient);
  EXPECT_LE(MixerRmse(got.d_norm_memory, b.d_norm_memory), gradient);
}

}  // namespace rattn
