#include "kernels/reference/reference_backend.h"

#include <omp.h>

#include <algorithm>

#include "kernels/reference/phases.h"
#include "kernels/sequences.h"

namespace rattn {
namespace {

// Calls work(piece, scratch) for every piece, each thread on its own slice of
// the workspace. Pieces do not share outputs, so threads change no result.
template <typename Work>
void ForEachPiece(int64_t pieces, int threads, size_t bytes_per_thread,
                  Workspace workspace, Work work) {
  const int team = static_cast<int>(std::min<int64_t>(pieces, threads));
#pragma omp parallel for num_threads(team) schedule(static)
  for (int64_t piece = 0; piece < pieces; ++piece) {
    const size_t at =
        static_cast<size_t>(omp_get_thread_num()) * bytes_per_thread;
    work(piece,
         reference::Scratch(static_cast<std::byte*>(workspace.data) + at));
  }
}

class Reference final : public Backend {
 public:
  std::string_view name() const override { return "reference"; }
  std::string description() const override {
    return "fp64 loops from the definition";
  }
  Support Supports(const Problem& problem) const override {
    return CheckProblem(problem);
  }

  size_t WorkspaceBytes(const Problem& p) const override {
    const bool cached = p.phase == Phase::kExtend || p.phase == Phase::kDecode;
    size_t bytes =
        cached ? reference::ExtendScratch(p) : reference::ForwardScratch(p);
    if (p.phase == Phase::kTrain) {
      bytes = std::max(bytes, reference::BackwardScratch(p));
    }
    return bytes * static_cast<size_t>(Team(p));
  }

  void Forward(const Problem& p, const Buffers& buffers,
               Workspace workspace) const override {
    ForEachPiece(Groups(p), p.threads, reference::ForwardScratch(p), workspace,
                 [&](int64_t piece, reference::Scratch scratch) {
                   const SequenceCall call =
                       SequenceAt(p, buffers, piece / p.shape.kv_heads);
                   reference::ForwardGroup(call.problem, call.buffers,
                                           call.batch, piece % p.shape.kv_heads,
                                           scratch);
                 });
  }

  void Backward(const Problem& p, const Buffers& buffers,
                Workspace workspace) const override {
    ForEachPiece(p.shape.kv_heads, p.threads, reference::BackwardScratch(p),
                 workspace, [&](int64_t h, reference::Scratch scratch) {
                   reference::BackwardHead(p, buffers, h, scratch);
                 });
  }

  void Extend(const Problem& p, const Buffers& buffers, KvCache& cache,
              Workspace workspace) const override {
    cache.AbsorbPending();
    ForEachPiece(Groups(p), p.threads, reference::ExtendScratch(p), workspace,
                 [&](int64_t piece, reference::Scratch scratch) {
                   reference::ExtendGroup(p, buffers, cache,
                                          piece / p.shape.kv_heads,
                                          piece % p.shape.kv_heads, scratch);
                 });
    cache.Advance(p.shape.query_len);
  }

 private:
  static int64_t Groups(const Problem& p) {
    return SequenceCount(p) * p.shape.kv_heads;
  }
  static int64_t Team(const Problem& p) {
    return std::min<int64_t>(Groups(p), p.threads);
  }
};

}  // namespace

const Backend* ReferenceBackend() {
  static const Reference backend;
  return &backend;
}

}  // namespace rattn
