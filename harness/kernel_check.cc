#include "harness/kernel_check.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <set>

#include "kernels/reference/reference_backend.h"
#include "kernels/window.h"

namespace rattn {
namespace {

// Multiply-adds that the reference may spend: about a second of plain loops.
constexpr double kBudget = 3e8;
constexpr int64_t kRowsPerSample = 4;

double ReferenceCost(const Problem& problem) {
  const Shape& s = problem.shape;
  const double rows = static_cast<double>(s.batch * s.query_heads) *
                      static_cast<double>(s.query_len);
  const double passes = problem.phase == Phase::kTrain ? 4 : 1;
  return passes * rows * static_cast<double>(s.key_len) *
         static_cast<double>(s.head_dim + s.value_dim);
}

void Worsen(const char* tensor, double error, KernelCheck* check) {
  if (check->worst_tensor.empty() || !(error <= check->worst_error)) {
    check->worst_error = error;
    check->worst_tensor = tensor;
  }
}

// The reference run of a case without a cache, all of it in fp64.
struct ReferenceRun {
  ReferenceRun(const KernelCase& kernel, const KernelInputs& inputs)
      : wide(kernel), wide_inputs(kernel) {
    wide.problem.dtype = Dtype::kF64;
    wide_inputs.q = ToF64(inputs.q.view);
    wide_inputs.k = ToF64(inputs.k.view);
    wide_inputs.v = ToF64(inputs.v.view);
    if (inputs.d_o.view) wide_inputs.d_o = ToF64(inputs.d_o.view);
    call.emplace(wide, *ReferenceBackend(), wide_inputs);
    call->Run();
  }
  KernelCase wide;
  KernelInputs wide_inputs;
  std::optional<KernelCall> call;
};

void CompareAll(const KernelCase& kernel, const Backend& backend,
                KernelCheck* check) {
  const KernelInputs inputs(kernel);
  KernelCall call(kernel, backend, inputs);
  call.Run();
  const ReferenceRun reference(kernel, inputs);
  const Buffers& got = call.buffers();
  const Buffers& want = reference.call->buffers();
  Worsen("o", RelativeRmse(got.o, want.o), check);
  if (kernel.problem.phase != Phase::kTrain) return;
  Worsen("dq", RelativeRmse(got.dq, want.dq), check);
  Worsen("dk", RelativeRmse(got.dk, want.dk), check);
  Worsen("dv", RelativeRmse(got.dv, want.dv), check);
}

// Query heads to compare: those of the last KV head, where that does not
// change what a head computes.
struct HeadPart {
  int64_t kv_begin, kv_heads;
};
HeadPart ComparedHeads(const Problem& problem) {
  const int64_t all = problem.shape.kv_heads;
  if (problem.spec.combine == Combine::kSplitHeads) return {0, all};
  return {all - 1, 1};
}

// Rows [end - rows, end) of sequence 0, from the inputs alone: bottom-right
// alignment makes a prefix of the keys a problem of its own.
Tensor ReferenceRows(const KernelCase& kernel, const KernelInputs& inputs,
                     int64_t end, int64_t rows) {
  const HeadPart heads = ComparedHeads(kernel.problem);
  const int64_t group = GroupSize(kernel.problem.shape);
  const auto part = [&](const TensorView& view, int64_t per_kv, int64_t begin,
                        int64_t tokens) {
    const TensorView sequence = Slice(view, 0, 0, 1);
    return ToF64(Slice(Slice(sequence, 1, begin, tokens), 2,
                       heads.kv_begin * per_kv, heads.kv_heads * per_kv));
  };
  const Tensor q = part(inputs.q.view, group, end - rows, rows);
  const Tensor k = part(inputs.k.view, 1, 0, end);
  const Tensor v = part(inputs.v.view, 1, 0, end);
  Problem problem = kernel.problem;
  problem.phase = Phase::kForward;
  problem.dtype = Dtype::kF64;
  problem.shape.batch = 1;
  problem.shape.query_len = rows;
  problem.shape.key_len = end;
  problem.shape.kv_heads = heads.kv_heads;
  problem.shape.query_heads = heads.kv_heads * group;
  Tensor o = MakeTensor(Dtype::kF64, {1, rows, problem.shape.query_heads,
                                      problem.shape.value_dim});
  Buffers buffers;
  buffers.q = q.view;
  buffers.k = k.view;
  buffers.v = v.view;
  buffers.o = o.view;
  const Backend& reference = *ReferenceBackend();
  const AlignedBuffer scratch(reference.WorkspaceBytes(problem));
  reference.Forward(problem, buffers, {scratch.data(), scratch.size()});
  return o;
}

// Ends of the compared row groups among the new tokens: around the window's
// edge, in the middle, at the end.
std::set<int64_t> SampleEnds(const KernelCase& kernel) {
  const int64_t first = kernel.context + 1;
  const int64_t last = kernel.context + kernel.problem.shape.query_len;
  const int64_t window =
      HasLocal(kernel.problem.spec)
          ? std::min(LocalWindow(kernel.problem.spec.local), last)
          : MemoryDelay(kernel.problem.spec);
  std::set<int64_t> ends;
  for (const int64_t end : {window + 2, (first + last) / 2, last}) {
    ends.insert(std::clamp(end, first, last));
  }
  return ends;
}

int64_t CompareRows(const KernelCase& kernel, const KernelInputs& inputs,
                    KernelCall* call, KernelCheck* check) {
  call->Run();
  const HeadPart heads = ComparedHeads(kernel.problem);
  const int64_t group = GroupSize(kernel.problem.shape);
  const TensorView o = Slice(Slice(call->buffers().o, 0, 0, 1), 2,
                             heads.kv_begin * group, heads.kv_heads * group);
  int64_t compared = 0;
  for (const int64_t end : SampleEnds(kernel)) {
    const int64_t rows = std::min(kRowsPerSample, end - kernel.context);
    const Tensor want = ReferenceRows(kernel, inputs, end, rows);
    const TensorView got = Slice(o, 1, end - rows - kernel.context, rows);
    Worsen("o", RelativeRmse(got, want.view), check);
    compared += rows;
  }
  return compared;
}

// The same case with fewer tokens, so that the reference fits its budget.
KernelCase Shorter(KernelCase kernel) {
  Shape& s = kernel.problem.shape;
  while (ReferenceCost(kernel.problem) > kBudget && s.query_len > 64) {
    s.query_len = s.key_len = s.query_len / 2 + 1;
  }
  return kernel;
}

}  // namespace

double ErrorLimit(Dtype dtype, bool gradients) {
  switch (dtype) {
    case Dtype::kF64:
      return 1e-12;
    case Dtype::kF32:
      return gradients ? 1e-5 : 2e-6;
    case Dtype::kBF16:
      return gradients ? 3e-2 : 1.5e-2;
    case Dtype::kF16:
      return gradients ? 4e-3 : 2e-3;
  }
  return 0;
}

Json ToJson(const KernelCheck& check) {
  return {{"reference", "reference backend, fp64"},
          {"scope", check.scope},
          {"error", "relative RMSE"},
          {"worst_error", check.worst_error},
          {"worst_tensor", check.worst_tensor},
          {"limit", check.limit},
          {"passed", check.ok()}};
}

KernelCheck CheckKernel(const KernelCase& kernel, const Backend& backend,
                        const KernelInputs& inputs, KernelCall* call) {
  KernelCheck check;
  const bool train = kernel.problem.phase == Phase::kTrain;
  check.limit = ErrorLimit(kernel.problem.dtype, train);
  if (!UsesCache(kernel.problem.phase) &&
      ReferenceCost(kernel.problem) <= kBudget) {
    CompareAll(kernel, backend, &check);
    check.scope = "every element";
    return check;
  }
  const int64_t rows = CompareRows(kernel, inputs, call, &check);
  check.scope = fmt::format("output of {} query rows of sequence 0", rows);
  if (train) {
    const KernelCase shorter = Shorter(kernel);
    CompareAll(shorter, backend, &check);
    check.scope += fmt::format("; gradients on the same case with {} tokens",
                               shorter.problem.shape.query_len);
  }
  return check;
}

}  // namespace rattn
