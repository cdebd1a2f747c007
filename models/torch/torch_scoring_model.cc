#include "models/torch/torch_scoring_model.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <fmt/format.h>

#include <algorithm>

#include "models/error.h"
#include "models/torch/guarded.h"
#include "models/torch/piece_runner.h"
#include "models/torch/products.h"
#include "models/torch/vocabulary.h"

namespace rattn {
namespace {

// Sequences that generate side by side, where nobody says how many.
constexpr int64_t kGenerating = 16;

void CheckTokens(std::span<const int32_t> tokens, int64_t vocab_size) {
  for (const int32_t token : tokens) {
    if (token >= 0 && token < vocab_size) continue;
    throw UserError(fmt::format(
        "token {} is outside the model's vocabulary of {}; use the tokenizer "
        "that belongs to it",
        token, vocab_size));
  }
}

// What a request feeds: all tokens but the last, whose successor nobody asks.
std::vector<int32_t> InputsOf(const ScoreRequest& request) {
  std::vector<int32_t> inputs = request.context;
  inputs.insert(inputs.end(), request.continuation.begin(),
                request.continuation.end());
  if (!inputs.empty()) inputs.pop_back();
  return inputs;
}

void CountNode(const TorchScoringModel& model, const PrefixNode& node) {
  const int64_t tokens = node.end - node.begin;
  model.CountWork(tokens * static_cast<int64_t>(node.requests.size()), tokens);
}

class Scorer {
 public:
  Scorer(const TorchScoringModel& model, std::span<const ScoreRequest> requests)
      : model_(model), requests_(requests), scores_(requests.size()) {
    for (const ScoreRequest& request : requests) {
      CheckTokens(request.context, model.vocab_size());
      CheckTokens(request.continuation, model.vocab_size());
      if (request.context.empty()) {
        throw RunError("a request to score has an empty context");
      }
      inputs_.push_back(InputsOf(request));
      scores_[inputs_.size() - 1].is_greedy = true;
    }
  }

  using Done = std::function<bool(size_t, const ContinuationScore&)>;

  void RunPieces(const Done& done) {
    PrefixTree tree;
    for (size_t i = 0; i < requests_.size(); ++i) {
      if (requests_[i].continuation.empty()) {
        if (!done(i, scores_[i])) return;
        continue;
      }
      tree.Add(i, inputs_[i], First(i));
    }
    PieceRunner runner(model_.transformer(), model_.weights(), tree,
                       model_.CacheBytesPerToken());
    const auto wanted = [&](size_t n) { return Wanted(tree.node(n)); };
    const auto take = [&](size_t n, const at::Tensor& hidden,
                          const std::shared_ptr<Caches>&) {
      CountNode(model_, tree.node(n));
      return Take(tree.node(n), hidden, done);
    };
    while (runner.Step(
        wanted, [](size_t) { return false; }, take)) {
    }
  }

  // Without caches: one request after the other.
  void RunWhole(const Done& done) {
    for (size_t i = 0; i < requests_.size(); ++i) {
      PrefixNode node;
      node.end = static_cast<int64_t>(inputs_[i].size());
      node.requests = {i};
      if (requests_[i].continuation.empty()) {
        if (!done(i, scores_[i])) return;
        continue;
      }
      const at::Tensor hidden = model_.transformer().Hidden(
          model_.weights(),
          MakeTokens(inputs_[i], 1, node.end, model_.vocab_size()),
          at::tensor(Wanted(node), at::kLong));
      CountNode(model_, node);
      if (!Take(node, hidden, done)) return;
    }
  }

 private:
  // The input whose successor is the first token of the continuation.
  int64_t First(size_t request) const {
    return static_cast<int64_t>(requests_[request].context.size()) - 1;
  }
  int64_t FirstIn(size_t request, const PrefixNode& node) const {
    return std::max(node.begin, First(request));
  }

  std::vector<int64_t> Wanted(const PrefixNode& node) const {
    int64_t first = node.end;
    for (const size_t r : node.requests) {
      first = std::min(first, FirstIn(r, node));
    }
    std::vector<int64_t> rows;
    for (int64_t row = first; row < node.end; ++row) rows.push_back(row);
    return rows;
  }

  // Requests of one node differ in their last token only, or in where their
  // context ends.
  bool Take(const PrefixNode& node, const at::Tensor& hidden,
            const Done& done) {
    const int64_t rows = hidden.size(0), start = node.end - rows;
    for (const size_t r : node.requests) {
      const int64_t first = FirstIn(r, node);
      if (first >= node.end) continue;
      std::vector<int32_t> targets;
      for (int64_t row = first; row < node.end; ++row) {
        targets.push_back(requests_[r].continuation[row - First(r)]);
      }
      const std::vector<TokenScore> found =
          ScoreTokens(hidden.narrow(0, first - start, node.end - first),
                      model_.weights().head, model_.vocab_size(),
                      model_.transformer().config().logit_softcap, targets);
      ContinuationScore& score = scores_[r];
      for (size_t t = 0; t < found.size(); ++t) {
        score.token_log_probs.push_back(found[t].log_prob);
        score.is_greedy = score.is_greedy && found[t].top == targets[t];
      }
      if (node.end == static_cast<int64_t>(inputs_[r].size()) &&
          !done(r, score)) {
        return false;
      }
    }
    return true;
  }

  const TorchScoringModel& model_;
  std::span<const ScoreRequest> requests_;
  std::vector<std::vector<int32_t>> inputs_;
  std::vector<ContinuationScore> scores_;
};

class Generator {
 public:
  using Done = std::function<bool(size_t, const std::vector<int32_t>&)>;

  Generator(const TorchScoringModel& model,
            std::span<const GenerateRequest> requests, const Done& done)
      : model_(model), requests_(requests), done_(done) {
    for (const GenerateRequest& request : requests) {
      CheckTokens(request.prompt, model.vocab_size());
      if (request.prompt.empty()) throw RunError("a prompt has no tokens");
    }
  }

  void RunCached() {
    PrefixTree tree;
    for (size_t i = 0; i < requests_.size(); ++i) {
      const int64_t length = static_cast<int64_t>(requests_[i].prompt.size());
      tree.Add(i, requests_[i].prompt, length - 1);
    }
    PieceRunner runner(model_.transformer(), model_.weights(), tree,
                       model_.CacheBytesPerToken());
    const auto ends = [&](size_t n) { return EndsOf(tree.node(n)); };
    const auto wants_caches = [&](size_t n) { return !ends(n).empty(); };
    const auto wanted = [&](size_t n) {
      return ends(n).empty() ? std::vector<int64_t>{}
                             : std::vector<int64_t>{tree.node(n).end - 1};
    };
    const auto take = [&](size_t n, const at::Tensor& hidden,
                          const std::shared_ptr<Caches>& caches) {
      CountNode(model_, tree.node(n));
      for (const size_t r : ends(n)) Begin(r, Top(hidden)[0], *caches);
      return !stopped_;
    };
    while (!stopped_ && (!runner.empty() || !active_.empty())) {
      if (active_.size() < GeneratingAtMost() && !runner.empty()) {
        runner.Step(wanted, wants_caches, take);
      } else {
        Advance();
      }
    }
  }

  void RunWhole() {
    for (size_t r = 0; r < requests_.size() && !stopped_; ++r) {
      std::vector<int32_t> text = requests_[r].prompt, tokens;
      bool more = requests_[r].max_new_tokens > 0;
      while (more) {
        const int64_t length = static_cast<int64_t>(text.size());
        const at::Tensor hidden = model_.transformer().Hidden(
            model_.weights(), MakeTokens(text, 1, length, model_.vocab_size()),
            at::tensor({length - 1}, at::kLong));
        model_.CountWork(length, length);
        text.push_back(Top(hidden)[0]);
        tokens.push_back(text.back());
        more = GoesOn(r, tokens);
      }
      stopped_ = !done_(r, tokens);
    }
  }

 private:
  struct Active {
    size_t request;
    Caches caches;
    std::vector<int32_t> tokens;
  };

  size_t GeneratingAtMost() const {
    const int64_t batch = model_.transformer().execution().batch;
    return static_cast<size_t>(batch > 0 ? batch : kGenerating);
  }

  std::vector<size_t> EndsOf(const PrefixNode& node) const {
    std::vector<size_t> ended;
    for (const size_t r : node.requests) {
      if (static_cast<int64_t>(requests_[r].prompt.size()) == node.end) {
        ended.push_back(r);
      }
    }
    return ended;
  }

  std::vector<int32_t> Top(const at::Tensor& hidden) const {
    const std::vector<int32_t> targets(hidden.size(0), -1);
    std::vector<int32_t> top;
    for (const TokenScore& score :
         ScoreTokens(hidden, model_.weights().head, model_.vocab_size(),
                     model_.transformer().config().logit_softcap, targets)) {
      top.push_back(score.top);
    }
    return top;
  }

  bool GoesOn(size_t r, const std::vector<int32_t>& tokens) const {
    const GenerateRequest& request = requests_[r];
    return static_cast<int64_t>(tokens.size()) < request.max_new_tokens &&
           !(request.stop && request.stop(tokens));
  }

  void Begin(size_t r, int32_t token, const Caches& caches) {
    std::vector<int32_t> tokens;
    if (requests_[r].max_new_tokens > 0) tokens.push_back(token);
    if (tokens.empty() || !GoesOn(r, tokens)) {
      stopped_ = stopped_ || !done_(r, tokens);
      return;
    }
    active_.push_back({r, caches, std::move(tokens)});
  }

  // One token for every active sequence.
  void Advance() {
    std::vector<int32_t> last;
    std::vector<CachedPiece> pieces;
    for (Active& a : active_) {
      last.push_back(a.tokens.back());
      pieces.push_back({1, &a.caches});
    }
    const int64_t count = static_cast<int64_t>(last.size());
    TokenBlock block = MakeTokens(last, count, 1, model_.vocab_size());
    for (int64_t i = 0; i < count; ++i) {
      const std::vector<int32_t>& tokens = active_[i].tokens;
      block.previous.mutable_data_ptr<int32_t>()[i] =
          tokens.size() > 1 ? tokens[tokens.size() - 2]
                            : requests_[active_[i].request].prompt.back();
    }
    const at::Tensor hidden = model_.transformer().ExtendPieces(
        model_.weights(), block, pieces, at::Tensor());
    model_.CountWork(count, count);
    const std::vector<int32_t> top = Top(hidden);
    std::vector<Active> going;
    for (int64_t i = 0; i < count; ++i) {
      Active& a = active_[i];
      a.tokens.push_back(top[i]);
      if (GoesOn(a.request, a.tokens)) {
        going.push_back(std::move(a));
      } else {
        stopped_ = stopped_ || !done_(a.request, a.tokens);
      }
    }
    active_ = std::move(going);
  }

  const TorchScoringModel& model_;
  std::span<const GenerateRequest> requests_;
  const Done& done_;
  std::vector<Active> active_;
  bool stopped_ = false;
};

// All weights that products read become panels of `dtype`, routers of fp32.
void PackWeights(ModelWeights* weights, at::ScalarType dtype) {
  const auto visit = [&](const auto& f) {
    MapMatrices(*weights, [&](const at::Tensor& m) { return f(m, dtype); });
    for (LayerWeights& layer : weights->layers) {
      if (layer.router.defined()) layer.router = f(layer.router, at::kFloat);
    }
    weights->head = f(weights->head, dtype);
  };
  int64_t bytes = 0;
  visit([&](const at::Tensor& weight, at::ScalarType type) {
    bytes += PanelStore::Bytes(weight.sizes(), type);
    return weight;
  });
  PanelStore store(bytes);
  visit([&](const at::Tensor& weight, at::ScalarType type) {
    return store.Pack(weight, type);
  });
}

}  // namespace

TorchScoringModel::TorchScoringModel(const ModelConfig& config,
                                     ModelWeights weights,
                                     const Execution& execution,
                                     std::shared_ptr<const HfTensors> keep)
    : threads_(execution.threads),
      keep_(std::move(keep)),
      model_(config, execution),
      weights_(std::move(weights)) {
  const c10::InferenceMode inference;
  PackWeights(&weights_, execution.dtype);
  model_.set_packed(true);
}

int64_t TorchScoringModel::CacheBytesPerToken() const {
  const ModelConfig& c = model_.config();
  const int64_t element = model_.execution().dtype == at::kBFloat16 ? 2 : 4;
  return 2 * c.layers * c.kv_heads * c.head_dim * element;
}

void TorchScoringModel::Score(
    std::span<const ScoreRequest> requests,
    const std::function<bool(size_t, const ContinuationScore&)>& done) const {
  Guarded([&] {
    const c10::InferenceMode inference;
    at::set_num_threads(threads_);
    Scorer scorer(*this, requests);
    if (model_.execution().backend == nullptr) {
      scorer.RunWhole(done);
    } else {
      scorer.RunPieces(done);
    }
  });
}

void TorchScoringModel::Generate(
    std::span<const GenerateRequest> requests,
    const std::function<bool(size_t, const std::vector<int32_t>&)>& done)
    const {
  Guarded([&] {
    const c10::InferenceMode inference;
    at::set_num_threads(threads_);
    Generator generator(*this, requests, done);
    if (model_.execution().backend == nullptr) {
      generator.RunWhole();
    } else {
      generator.RunCached();
    }
  });
}

}  // namespace rattn
