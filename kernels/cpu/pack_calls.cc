#include "kernels/cpu/pack_calls.h"

#include <algorithm>
#include <array>
#include <cstdint>

#include "kernels/arena.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/useful_threads.h"
#include "kernels/sequences.h"

namespace rattn {
namespace {

constexpr size_t kLine = 64;

bool IsShort(const Problem& pack, int64_t i) {
  return UsefulThreads(SequenceProblem(pack, i), 0) < pack.threads;
}

// run(call, i, workspace) for the sequences [first, end). Short ones share the
// threads if there are enough of them.
template <typename Run>
void ForEachSequence(const Problem& pack, const Buffers& buffers, int64_t first,
                     int64_t end, Workspace workspace, const Run& run) {
  int64_t short_ones = 0;
  for (int64_t i = first; i < end; ++i) short_ones += IsShort(pack, i);
  const bool together = short_ones >= pack.threads;
  if (together) {
    const size_t bytes =
        workspace.bytes / kLine / static_cast<size_t>(pack.threads) * kLine;
    ParallelFor(pack.threads, end - first, [&](int64_t task, int thread) {
      if (!IsShort(pack, first + task)) return;
      SequenceCall call = SequenceAt(pack, buffers, first + task);
      call.problem.threads = 1;
      run(call, first + task,
          Workspace{static_cast<std::byte*>(workspace.data) +
                        static_cast<size_t>(thread) * bytes,
                    bytes});
    });
  }
  for (int64_t i = first; i < end; ++i) {
    if (together && IsShort(pack, i)) continue;
    run(SequenceAt(pack, buffers, i), i, workspace);
  }
}

// Gradients that sum over the sequences, some parts at a time.
class SummedGradients {
 public:
  static constexpr int64_t kParts = 64;

  SummedGradients(const Problem& pack, Arena* arena) {
    const Shape& s = pack.shape;
    for (size_t t = 0; t < kTensors.size(); ++t) {
      shapes_[t] = kTensors[t] == &Buffers::d_sink_logit
                       ? Axes{1, 1, 1, s.query_heads}
                       : Axes{1, 1, s.query_heads, s.value_dim};
      parts_[t] = arena->Take<float>(kParts * Elements(t));
      sums_[t] = arena->Take<double>(Elements(t));
    }
  }
  void Clear() const {
    for (size_t t = 0; t < kTensors.size(); ++t) {
      std::fill_n(sums_[t], Elements(t), 0.0);
    }
  }
  // The wanted gradients of `call` go to part `part`, which is zero then.
  void Redirect(int64_t part, Buffers* call) const {
    for (size_t t = 0; t < kTensors.size(); ++t) {
      TensorView& gradient = call->*kTensors[t];
      if (!gradient) continue;
      float* at = parts_[t] + part * Elements(t);
      std::fill_n(at, Elements(t), 0.f);
      gradient = Contiguous(at, Dtype::kF32, shapes_[t]);
    }
  }
  void AddParts(int64_t parts, const Buffers& wanted) const {
    for (size_t t = 0; t < kTensors.size(); ++t) {
      if (!(wanted.*kTensors[t])) continue;
      const float* from = parts_[t];
      for (int64_t part = 0; part < parts; ++part) {
        for (int64_t e = 0; e < Elements(t); ++e) sums_[t][e] += *from++;
      }
    }
  }
  void Store(const Buffers& wanted) const {
    for (size_t t = 0; t < kTensors.size(); ++t) {
      const TensorView& to = wanted.*kTensors[t];
      if (!to) continue;
      const int64_t columns = shapes_[t][3];
      for (int64_t e = 0; e < Elements(t); ++e) {
        to.Set(0, 0, e / columns, e % columns, sums_[t][e]);
      }
    }
  }

 private:
  using Axes = std::array<int64_t, 4>;
  static constexpr std::array<TensorView Buffers::*, 3> kTensors = {
      &Buffers::d_norm_local, &Buffers::d_norm_memory, &Buffers::d_sink_logit};

  int64_t Elements(size_t t) const { return shapes_[t][2] * shapes_[t][3]; }

  std::array<Axes, kTensors.size()> shapes_;
  std::array<float*, kTensors.size()> parts_;  // [kParts, elements]
  std::array<double*, kTensors.size()> sums_;
};

}  // namespace

size_t PackBytes(const Backend& backend, const Problem& pack) {
  size_t one = 0, all = 0;
  for (int64_t i = 0; i < SequenceCount(pack); ++i) {
    Problem problem = SequenceProblem(pack, i);
    if (problem.shape.key_len == 0) continue;
    all = std::max(all, backend.WorkspaceBytes(problem));
    problem.threads = 1;
    one = std::max(one, backend.WorkspaceBytes(problem));
  }
  const size_t side_by_side =
      (one + kLine - 1) / kLine * kLine * static_cast<size_t>(pack.threads);
  const size_t sums =
      pack.phase != Phase::kTrain
          ? 0
          : BytesOf([&](Arena* arena) { SummedGradients(pack, arena); });
  return sums + std::max(all, side_by_side);
}

void ForwardPack(const Backend& backend, const Problem& pack,
                 const Buffers& buffers, Workspace workspace) {
  ForEachSequence(pack, buffers, 0, SequenceCount(pack), workspace,
                  [&](const SequenceCall& call, int64_t, Workspace scratch) {
                    if (call.problem.shape.key_len == 0) {
                      ForwardEmptySequence(call);
                    } else {
                      backend.Forward(call.problem, call.buffers, scratch);
                    }
                  });
}

void BackwardPack(const Backend& backend, const Problem& pack,
                  const Buffers& buffers, Workspace workspace) {
  Arena arena(workspace.data);
  const SummedGradients sums(pack, &arena);
  const Workspace rest = arena.Rest(workspace);
  sums.Clear();
  constexpr int64_t kParts = SummedGradients::kParts;
  for (int64_t first = 0; first < SequenceCount(pack); first += kParts) {
    const int64_t end = std::min(first + kParts, SequenceCount(pack));
    ForEachSequence(
        pack, buffers, first, end, rest,
        [&](const SequenceCall& call, int64_t i, Workspace scratch) {
          Buffers own = call.buffers;
          sums.Redirect(i - first, &own);
          if (call.problem.shape.key_len == 0) {
            BackwardEmptySequence(call);
          } else {
            backend.Backward(call.problem, own, scratch);
          }
        });
    sums.AddParts(end - first, buffers);
  }
  sums.Store(buffers);
}

}  // namespace rattn
