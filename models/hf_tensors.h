// The tensors of a Hugging Face folder: model.safetensors, or the shards that
// model.safetensors.index.json lists. Memory-mapped.
#pragma once

#include <string>
#include <vector>

#include "models/safetensors.h"

namespace rattn {

class HfTensors {
 public:
  // Throws UserError: nothing there, a shard missing, a file damaged.
  explicit HfTensors(const std::string& folder);

  // nullptr if absent. Lives as long as this object.
  const SafeTensor* Find(const std::string& name) const;
  const std::string& folder() const { return folder_; }

 private:
  std::string folder_;
  std::vector<SafeTensorsFile> files_;
};

}  // namespace rattn
