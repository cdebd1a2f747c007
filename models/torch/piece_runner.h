// Runs the pieces of a prefix tree, several at a time, and hands over what the
// output head reads at the places that someone asked for.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "models/torch/prefix_tree.h"
#include "models/torch/transformer.h"

namespace rattn {

using Caches = std::vector<KvCache>;

// Places of a node whose hidden states are wanted, as positions.
using WantedRows = std::function<std::vector<int64_t>(size_t node)>;
// Whether the caches behind a node are wanted.
using WantsCaches = std::function<bool(size_t node)>;
// Called once per node with its wanted rows [places, M] (in the order asked)
// and, where wanted, the caches behind the node. False ends the run.
using NodeDone = std::function<bool(size_t node, const at::Tensor& hidden,
                                    const std::shared_ptr<Caches>& caches)>;

class PieceRunner {
 public:
  // The model's execution says how many sequences run at a time at most.
  PieceRunner(const Transformer& model, const ModelWeights& weights,
              const PrefixTree& tree, int64_t cache_bytes_per_token);

  // Runs the next pieces, deepest first; false when there is nothing left or
  // `done` ended it. Pieces that follow each other without a branch run side by
  // side: one after the other in the mixers, as rows of one product elsewhere.
  bool Step(const WantedRows& wanted, const WantsCaches& wants_caches,
            const NodeDone& done);
  bool empty() const { return ready_.empty(); }

 private:
  // The caches behind a node, and how many children have yet to take them.
  struct State {
    std::shared_ptr<Caches> caches;
    size_t waiting = 0;
  };
  struct Ready {
    size_t node;
    std::shared_ptr<State> parent;  // nullptr at the roots
  };
  // A node of a batch. `follows`: it goes on with the caches of the one before.
  struct Piece {
    Ready ready;
    bool follows = false;
  };
  std::vector<Piece> TakeBatch(const WantsCaches& wants_caches);
  void TakeChain(const WantsCaches& wants_caches, int64_t* tokens,
                 std::vector<Piece>* batch) const;
  std::shared_ptr<Caches> TakeCaches(State* parent) const;

  const Transformer& model_;
  const ModelWeights& weights_;
  const PrefixTree& tree_;
  int64_t cache_bytes_per_token_;
  std::vector<Ready> ready_;  // a stack
};

}  // namespace rattn
