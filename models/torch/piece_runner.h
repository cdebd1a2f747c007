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
// Called once per node with its wanted rows [places, M] (in the order asked)
// and the caches behind the node. False ends the run.
using NodeDone = std::function<bool(size_t node, const at::Tensor& hidden,
                                    const std::shared_ptr<Caches>& caches)>;

class PieceRunner {
 public:
  // The model's execution says how many pieces run at a time at most.
  PieceRunner(const Transformer& model, const ModelWeights& weights,
              const PrefixTree& tree, int64_t cache_bytes_per_token);

  // Runs the next pieces, deepest first; false when there is nothing left or
  // `done` ended it.
  bool Step(const WantedRows& wanted, const NodeDone& done);
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
  std::vector<Ready> TakeBatch();
  std::shared_ptr<Caches> TakeCaches(State* parent) const;

  const Transformer& model_;
  const ModelWeights& weights_;
  const PrefixTree& tree_;
  int64_t cache_bytes_per_token_;
  std::vector<Ready> ready_;  // a stack
};

}  // namespace rattn
