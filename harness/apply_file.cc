// Reading and writing the tensors of `rattn apply`.
#include <fmt/format.h>

#include "harness/apply.h"
#include "models/safetensors.h"

namespace rattn {
namespace {

bool IsFloat(const std::string& dtype) {
  return dtype == "F64" || dtype == "F32" || dtype == "F16" || dtype == "BF16";
}

}  // namespace

std::vector<std::string> ApplyFile(const ApplyOptions& options,
                                   const std::string& in,
                                   const std::string& out) {
  ApplyTensors inputs;
  const SafeTensorsFile file(in);
  std::vector<std::string> others;
  for (const auto& [name, tensor] : file.tensors()) {
    if (IsFloat(tensor.dtype)) {
      inputs[name] = {tensor.shape, tensor.ToDoubles()};
    } else {
      others.push_back(fmt::format("{} ({})", name, tensor.dtype));
    }
  }
  ApplyResult result = ApplyMixer(options, inputs);
  if (!others.empty()) {
    result.notes.push_back(
        fmt::format("tensors that are not floats were left out: {}",
                    fmt::join(others, ", ")));
  }
  SafeTensorsWriter writer;
  writer.SetMetadata("spec", Describe(ApplySpec(options)));
  writer.SetMetadata("backend", options.backend);
  writer.SetMetadata("phase", options.phase);
  writer.SetMetadata("dtype", options.dtype);
  for (const auto& [name, tensor] : result.outputs) {
    if (options.dtype == Name(Dtype::kF64)) {
      writer.Add(name, "F64", tensor.shape, tensor.values.data(),
                 tensor.values.size() * sizeof(double));
    } else {
      const std::vector<float> values(tensor.values.begin(),
                                      tensor.values.end());
      writer.Add(name, "F32", tensor.shape, values.data(),
                 values.size() * sizeof(float));
    }
  }
  writer.Write(out);
  return std::move(result.notes);
}

}  // namespace rattn
