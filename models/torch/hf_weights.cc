#include "models/torch/hf_weights.h"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <string>
#include <vector>

#include "models/error.h"

namespace rattn {
namespace {

class Loader {
 public:
  Loader(const ModelConfig& config, const HfArchitecture& architecture,
         const HfTensors& tensors)
      : config_(config), architecture_(architecture), tensors_(tensors) {
    for (const std::string_view prefix : HfPrefixes()) {
      prefix_ = prefix;
      if (tensors.Find(FullName("embed_tokens.weight")) != nullptr) return;
    }
    prefix_ = HfPrefixes().front();
  }

  // A parameter in the type of its file.
  at::Tensor Load(const std::string& name, const Parameter& parameter) const {
    const std::vector<std::string> parts =
        HfTensorNames(architecture_, name, config_.experts);
    if (parts.empty()) {
      return at::full(parameter.shape, parameter.constant, at::kFloat);
    }
    std::vector<at::Tensor> found;
    for (size_t i = 0; i < parts.size(); ++i) {
      std::vector<int64_t> shape = parameter.shape;
      if (config_.experts > 1 && shape.size() == 3) {
        shape = {shape[0] * shape[1], shape[2]};
      }
      shape[0] = PartRows(shape[0], i, parts.size());
      found.push_back(Part(FullName(parts[i]), shape));
    }
    return found.size() == 1 ? found[0] : at::cat(found).view(parameter.shape);
  }

 private:
  std::string FullName(const std::string& name) const {
    // The output head stands beside the model, not inside it.
    if (name != "lm_head.weight") return prefix_ + name;
    const std::string beside = prefix_.substr(0, prefix_.find("model."));
    const bool has = tensors_.Find(beside + name) != nullptr;
    return has ? beside + name : name;
  }

  // Rows of part i: q, k and v heads are the only unequal parts.
  int64_t PartRows(int64_t rows, size_t i, size_t parts) const {
    if (parts == 3) {
      return config_.head_dim *
             (i == 0 ? config_.query_heads : config_.kv_heads);
    }
    return rows / static_cast<int64_t>(parts);
  }

  at::Tensor Part(const std::string& name,
                  const std::vector<int64_t>& shape) const {
    const SafeTensor* tensor = tensors_.Find(name);
    if (tensor == nullptr) {
      throw UserError(
          fmt::format("{} has no tensor \"{}\", which its "
                      "config.json ({}) asks for",
                      tensors_.folder(), name, architecture_.name));
    }
    if (tensor->shape != shape) {
      throw UserError(fmt::format(
          "{}: tensor \"{}\" has shape [{}], its config.json asks for [{}]",
          tensors_.folder(), name, fmt::join(tensor->shape, ", "),
          fmt::join(shape, ", ")));
    }
    return at::from_blob(const_cast<void*>(tensor->data), shape,
                         TypeOf(name, tensor->dtype));
  }

  at::ScalarType TypeOf(const std::string& name,
                        const std::string& dtype) const {
    if (dtype == "F32") return at::kFloat;
    if (dtype == "BF16") return at::kBFloat16;
    if (dtype == "F16") return at::kHalf;
    throw UserError(fmt::format(
        "{}: tensor \"{}\" is {}; weights are read from F32, F16 and BF16",
        tensors_.folder(), name, dtype));
  }

  const ModelConfig& config_;
  const HfArchitecture& architecture_;
  const HfTensors& tensors_;
  std::string prefix_;
};

bool IsBias(const std::string& name) { return name.ends_with("_bias"); }

at::Tensor InStoredType(const at::Tensor& t) {
  return t.scalar_type() == at::kHalf ? t.to(at::kFloat) : t;
}

}  // namespace

ModelWeights LoadHfWeights(const ModelConfig& config,
                           const HfArchitecture& architecture,
                           const HfTensors& tensors, at::ScalarType dtype) {
  const Loader loader(config, architecture, tensors);
  ModelWeights weights;
  VisitWeights(
      config, weights,
      [&](const std::string& name, at::Tensor& to, const Parameter& parameter) {
        const at::Tensor stored = loader.Load(name, parameter);
        if (name == "embedding") {
          to = InStoredType(stored);
        } else if (parameter.shape.size() >= 2 && parameter.std > 0) {
          const bool exact = name.ends_with("router");
          to = stored.to(exact ? at::kFloat : dtype);
        } else {
          to = stored.to(at::kFloat);
          const bool norm = parameter.shape.size() == 1 && !IsBias(name) &&
                            architecture.norm_offset != 0;
          if (norm) to = to + architecture.norm_offset;
        }
      });
  if (config.tied_embeddings) weights.head = weights.embedding;
  return weights;
}

}  // namespace rattn
