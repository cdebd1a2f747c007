#include "models/torch/torch_model.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>

#include "models/error.h"
#include "models/torch/guarded.h"

namespace rattn {
namespace {

int32_t Greedy(std::span<const float> logits) {
  return static_cast<int32_t>(std::max_element(logits.begin(), logits.end()) -
                              logits.begin());
}

std::vector<float> ToVector(const at::Tensor& t) {
  const at::Tensor f = t.to(at::kFloat).cpu().contiguous();
  const float* data = f.const_data_ptr<float>();
  return {data, data + f.numel()};
}

// What is asked of one row: positions, and where their logits go.
struct RowQuestions {
  std::vector<int64_t> positions;
  std::vector<int64_t> answers;
  int64_t length = 0;  // up to the last position
};

std::vector<RowQuestions> ByRow(const Batch& batch,
                                std::span<const TokenAt> at) {
  std::vector<RowQuestions> rows(batch.rows);
  for (size_t i = 0; i < at.size(); ++i) {
    const auto [row, position] = at[i];
    if (row < 0 || row >= batch.rows || position < 0 ||
        position >= batch.length) {
      throw RunError(fmt::format(
          "logits asked at row {}, position {} of a batch of {} rows of {}",
          row, position, batch.rows, batch.length));
    }
    rows[row].positions.push_back(position);
    rows[row].answers.push_back(static_cast<int64_t>(i));
    rows[row].length = std::max(rows[row].length, position + 1);
  }
  return rows;
}

}  // namespace

TorchModel::TorchModel(const ModelConfig& config, const at::Tensor& parameters,
                       const Execution& execution)
    : threads_(execution.threads),
      model_(config, execution),
      weights_(ViewWeights(config, LayoutOf(config),
                           parameters.to(execution.device))) {
  CastMatrices(weights_, execution.dtype);
  model_.set_threads(1);
}

std::vector<float> TorchModel::RowLogits(
    std::span<const int32_t> tokens, std::span<const int64_t> places) const {
  const c10::InferenceMode inference;
  const int64_t length = static_cast<int64_t>(tokens.size());
  return ToVector(model_.Logits(weights_,
                                MakeTokens(tokens, 1, length, vocab_size()),
                                at::tensor(places, at::kLong)));
}

std::vector<float> TorchModel::Logits(const Batch& batch,
                                      std::span<const TokenAt> at) const {
  const std::vector<RowQuestions> rows = ByRow(batch, at);
  const int64_t vocab = vocab_size();
  std::vector<float> logits(at.size() * vocab);
  const auto answer_rows = [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const RowQuestions& row = rows[r];
      if (row.positions.empty()) continue;
      const std::vector<float> found = RowLogits(
          std::span(batch.tokens).subspan(r * batch.length, row.length),
          row.positions);
      for (size_t i = 0; i < row.answers.size(); ++i) {
        std::copy_n(found.begin() + i * vocab, vocab,
                    logits.begin() + row.answers[i] * vocab);
      }
    }
  };
  at::set_num_threads(threads_);
  Guarded([&] {
    // A device is busy with one row, whose calls queue one behind the other.
    if (!model_.execution().device.is_cpu()) return answer_rows(0, batch.rows);
    at::parallel_for(0, batch.rows, 1, answer_rows);
  });
  return logits;
}

std::vector<int32_t> TorchModel::Generate(std::span<const int32_t> prompt,
                                          int64_t max_new, int32_t stop_token,
                                          int64_t prefill_chunk,
                                          CacheUse* use) const {
  if (prompt.empty()) {
    throw UserError("the prompt is empty: give at least one token");
  }
  if (max_new < 0 || prefill_chunk < 0) {
    throw UserError(
        fmt::format("max_new and prefill_chunk must be 0 or more, got {} and "
                    "{}",
                    max_new, prefill_chunk));
  }
  return Guarded([&] {
    return GenerateGreedily(prompt, max_new, stop_token, prefill_chunk, use);
  });
}

std::vector<int32_t> TorchModel::GenerateGreedily(
    std::span<const int32_t> prompt, int64_t max_new, int32_t stop_token,
    int64_t prefill_chunk, CacheUse* use) const {
  const c10::InferenceMode inference;
  at::set_num_threads(threads_);
  const bool cached = model_.execution().backend != nullptr;
  std::vector<KvCache> caches;
  if (cached) caches = model_.MakeCaches();
  std::vector<int32_t> text(prompt.begin(), prompt.end());
  std::vector<int32_t> generated;
  std::vector<double> seconds;
  int64_t fed = 0;  // tokens of the text that the caches hold
  while (static_cast<int64_t>(generated.size()) < max_new) {
    const auto start = std::chrono::steady_clock::now();
    std::vector<float> logits;
    const int64_t length = static_cast<int64_t>(text.size());
    if (!cached) {
      const int64_t last = length - 1;
      logits = RowLogits(text, std::span(&last, 1));
    }
    while (cached && fed < length) {
      const int64_t piece = prefill_chunk == 0
                                ? length - fed
                                : std::min(prefill_chunk, length - fed);
      const TokenBlock block =
          MakeTokens(std::span(text).subspan(fed, piece), 1, piece,
                     vocab_size(), fed == 0 ? -1 : text[fed - 1]);
      const at::Tensor out = model_.Extend(weights_, block, caches);
      fed += piece;
      if (fed == length) logits = ToVector(out);
    }
    generated.push_back(Greedy(logits));
    text.push_back(generated.back());
    seconds.push_back(
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start)
            .count());
    if (generated.back() == stop_token) break;
  }
  if (use != nullptr) {
    if (!seconds.empty()) seconds.erase(seconds.begin());
    *use = {0, 0, std::move(seconds)};
    for (const KvCache& cache : caches) {
      use->kv_bytes += static_cast<int64_t>(cache.KvBytes());
      use->state_bytes += static_cast<int64_t>(cache.StateBytes());
    }
  }
  return generated;
}

}  // namespace rattn
