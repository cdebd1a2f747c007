#include "models/torch/piece_runner.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <optional>
#include <utility>

namespace rattn {
namespace {

constexpr int64_t kBatchTokens = 512;
constexpr int64_t kBatchCacheBytes = int64_t{1} << 30;

TokenBlock TokensOf(const std::vector<const PrefixNode*>& nodes) {
  int64_t length = 0;
  for (const PrefixNode* node : nodes) length += node->end - node->begin;
  TokenBlock block;
  block.rows = 1;
  block.length = length;
  block.tokens = at::empty({length}, at::kInt);
  block.previous = at::empty({length}, at::kInt);
  int32_t* token = block.tokens.mutable_data_ptr<int32_t>();
  int32_t* previous = block.previous.mutable_data_ptr<int32_t>();
  for (const PrefixNode* node : nodes) {
    int32_t before = node->before;
    for (const int32_t id : node->tokens) {
      *token++ = id;
      *previous++ = std::exchange(before, id);
    }
  }
  return block;
}

}  // namespace

PieceRunner::PieceRunner(const Transformer& model, const ModelWeights& weights,
                         const PrefixTree& tree, int64_t cache_bytes_per_token)
    : model_(model),
      weights_(weights),
      tree_(tree),
      cache_bytes_per_token_(cache_bytes_per_token) {
  for (auto root = tree.roots().rbegin(); root != tree.roots().rend(); ++root) {
    ready_.push_back({*root, nullptr});
  }
}

std::vector<PieceRunner::Piece> PieceRunner::TakeBatch(
    const WantsCaches& wants_caches) {
  std::vector<Piece> batch;
  // 0 stands for all that are ready.
  int64_t sequences_left = model_.execution().batch;
  int64_t tokens = 0, bytes = 0;
  while (!ready_.empty()) {
    const PrefixNode& node = tree_.node(ready_.back().node);
    tokens += node.end - node.begin;
    bytes += node.end * cache_bytes_per_token_;
    if (!batch.empty() && (tokens > kBatchTokens || bytes > kBatchCacheBytes)) {
      break;
    }
    batch.push_back({std::move(ready_.back())});
    ready_.pop_back();
    TakeChain(wants_caches, &tokens, &batch);
    if (--sequences_left == 0) break;
  }
  return batch;
}

// Adds the only children of the batch's last node.
void PieceRunner::TakeChain(const WantsCaches& wants_caches, int64_t* tokens,
                            std::vector<Piece>* batch) const {
  for (;;) {
    const size_t last = batch->back().ready.node;
    const std::vector<size_t>& children = tree_.node(last).children;
    if (children.size() != 1 || wants_caches(last)) return;
    const PrefixNode& child = tree_.node(children.front());
    const int64_t sum = *tokens + child.end - child.begin;
    if (sum > kBatchTokens) return;
    *tokens = sum;
    batch->push_back({{children.front(), nullptr}, /*follows=*/true});
  }
}

// The last child takes the caches themselves, the others copies.
std::shared_ptr<Caches> PieceRunner::TakeCaches(State* parent) const {
  if (parent == nullptr) return std::make_shared<Caches>(model_.MakeCaches());
  if (--parent->waiting == 0 && parent->caches.use_count() == 1) {
    return std::move(parent->caches);
  }
  const Caches& from = *parent->caches;
  std::vector<std::optional<KvCache>> copies(from.size());
  at::parallel_for(0, static_cast<int64_t>(from.size()), 1,
                   [&](int64_t begin, int64_t end) {
                     for (int64_t i = begin; i < end; ++i) {
                       copies[i].emplace(from[i]);
                     }
                   });
  auto caches = std::make_shared<Caches>();
  for (auto& copy : copies) caches->push_back(std::move(*copy));
  return caches;
}

bool PieceRunner::Step(const WantedRows& wanted,
                       const WantsCaches& wants_caches, const NodeDone& done) {
  const std::vector<Piece> batch = TakeBatch(wants_caches);
  if (batch.empty()) return false;
  std::vector<const PrefixNode*> nodes;
  std::vector<std::shared_ptr<Caches>> caches;
  std::vector<CachedPiece> pieces;
  std::vector<int64_t> places, counts;
  int64_t first = 0;
  for (const Piece& piece : batch) {
    const PrefixNode& node = tree_.node(piece.ready.node);
    nodes.push_back(&node);
    caches.push_back(piece.follows ? caches.back()
                                   : TakeCaches(piece.ready.parent.get()));
    pieces.push_back({node.end - node.begin, caches.back().get()});
    const std::vector<int64_t> rows = wanted(piece.ready.node);
    counts.push_back(static_cast<int64_t>(rows.size()));
    for (const int64_t row : rows) places.push_back(first + row - node.begin);
    first += node.end - node.begin;
  }
  const at::Tensor hidden = model_.ExtendPieces(
      weights_, TokensOf(nodes), pieces, at::tensor(places, at::kLong));

  std::vector<Ready> next;
  bool goes_on = true;
  first = 0;
  for (size_t i = 0; i < batch.size(); ++i) {
    const size_t node = batch[i].ready.node;
    goes_on = goes_on && done(node, hidden.narrow(0, first, counts[i]),
                              wants_caches(node) ? caches[i] : nullptr);
    first += counts[i];
    const bool followed = i + 1 < batch.size() && batch[i + 1].follows;
    if (followed) continue;
    const std::vector<size_t>& children = nodes[i]->children;
    auto state = std::make_shared<State>(std::move(caches[i]), children.size());
    for (const size_t child : children) next.push_back({child, state});
  }
  ready_.insert(ready_.end(), next.rbegin(), next.rend());
  return goes_on;
}

}  // namespace rattn
