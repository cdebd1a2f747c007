#include "models/torch/checkpoint.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "models/error.h"
#include "models/json_fields.h"
#include "models/safetensors.h"

namespace rattn {

// Fields that change the numbers of a run; checkpoint_every does not.
template <typename Visitor>
void VisitFields(Visitor& visit, TrainOptions& o) {
  visit.Required("steps", o.steps, "optimizer steps");
  visit.Required("batch", o.batch, "sequences per step");
  visit.Required("lr", o.lr, "highest learning rate");
  visit.Required("lr_end", o.lr_end, "cosine end, as a share of lr");
  visit.Required("warmup", o.warmup, "share of the steps");
  visit.Required("beta1", o.beta1, "decay of the first moment");
  visit.Required("beta2", o.beta2, "decay of the second moment");
  visit.Required("weight_decay", o.weight_decay, "on matrices");
  visit.Required("clip", o.clip, "global gradient norm");
  visit.Required("seed", o.seed, "of the initial weights");
}

namespace {

constexpr const char* kFormat = "rattn checkpoint 1";
constexpr const char* kFirstMoment = "optimizer.first_moment/";
constexpr const char* kSecondMoment = "optimizer.second_moment/";
constexpr const char* kLossCurve = "loss_curve";

[[noreturn]] void Refuse(const std::string& path, const std::string& why) {
  throw UserError(fmt::format(
      "checkpoint {} {}: give a file that rattn train wrote", path, why));
}

const std::string& Metadata(const SafeTensorsFile& file,
                            const std::string& path, const std::string& key) {
  const auto at = file.metadata().find(key);
  if (at == file.metadata().end()) {
    Refuse(path, fmt::format("has no \"{}\" in its metadata: not a "
                             "checkpoint of this program",
                             key));
  }
  return at->second;
}

SafeTensorsFile Open(const std::string& path) {
  SafeTensorsFile file(path);
  if (const std::string& format = Metadata(file, path, "format");
      format != kFormat) {
    Refuse(path,
           fmt::format("has format \"{}\", expected \"{}\"", format, kFormat));
  }
  return file;
}

// The first key whose value differs, as "lr 0.004 (now 0.006)", or "".
std::string Difference(const Json& saved, const Json& now) {
  for (const auto& [key, value] : now.items()) {
    const Json* other = saved.contains(key) ? &saved[key] : nullptr;
    if (other == nullptr) return fmt::format("without \"{}\"", key);
    if (*other == value) continue;
    if (value.is_object() && other->is_object()) {
      const std::string inner = Difference(*other, value);
      if (!inner.empty()) return fmt::format("{}.{}", key, inner);
    }
    return fmt::format("{} {} (now {})", key, other->dump(), value.dump());
  }
  for (const auto& [key, value] : saved.items()) {
    if (!now.contains(key)) {
      return fmt::format("{} {} (now absent)", key, value.dump());
    }
  }
  return "";
}

void CheckSame(const std::string& path, const std::string& saved,
               const std::string& now) {
  const std::string difference =
      Difference(ParseJsonText(saved, path), ParseJsonText(now, path));
  if (!difference.empty()) {
    Refuse(path, "belongs to a run with " + difference);
  }
}

void CheckIdentity(const SafeTensorsFile& file, const std::string& path,
                   const RunIdentity& identity) {
  CheckSame(path, Metadata(file, path, "config"), identity.config);
  CheckSame(path, Metadata(file, path, "training"), identity.training);
  const std::string& data = Metadata(file, path, "data");
  if (data != identity.data) {
    Refuse(path, fmt::format("belongs to a run on other data ({}, now {})",
                             data, identity.data));
  }
}

void ReadInto(const SafeTensorsFile& file, const std::string& path,
              const std::string& name, at::Tensor to) {
  const SafeTensor& tensor = file.Get(name);
  if (tensor.dtype != "F32" || tensor.shape != to.sizes().vec()) {
    Refuse(path,
           fmt::format("has a tensor \"{}\" of another shape or type", name));
  }
  std::memcpy(to.data_ptr(), tensor.data, tensor.bytes);
}

void ReadParameters(const SafeTensorsFile& file, const std::string& path,
                    const ParameterLayout& layout, const std::string& prefix,
                    const at::Tensor& flat) {
  for (const Parameter& p : layout.parameters) {
    ReadInto(file, path, prefix + p.name, PartOf(flat, p));
  }
}

// Into a flat tensor that may lie on a device.
void ReadFlat(const SafeTensorsFile& file, const std::string& path,
              const ParameterLayout& layout, const std::string& prefix,
              at::Tensor to) {
  const at::Tensor host = to.cpu();  // `to` itself where it is the CPU's
  ReadParameters(file, path, layout, prefix, host);
  if (!to.is_cpu()) to.copy_(host);
}

void AddTensor(SafeTensorsWriter* writer, const std::string& name,
               const at::Tensor& t) {
  writer->Add(name, "F32", t.sizes().vec(), t.const_data_ptr(), t.nbytes());
}

int64_t ReadStep(const SafeTensorsFile& file, const std::string& path) {
  const std::string& text = Metadata(file, path, "step");
  int64_t step = -1;
  const auto [end, error] =
      std::from_chars(text.data(), text.data() + text.size(), step);
  if (error != std::errc() || end != text.data() + text.size() || step < 0) {
    Refuse(path, fmt::format("has a damaged step \"{}\"", text));
  }
  return step;
}

}  // namespace

RunIdentity IdentityOf(const ModelConfig& config, const TrainOptions& options,
                       const ExecutionOptions& execution,
                       const BatchSource& data) {
  Json training = PrintFields(options);
  training["backend"] = execution.backend;
  training["dtype"] = execution.dtype;
  return {ToJson(config), training.dump(), data.Fingerprint()};
}

void SaveCheckpoint(const std::string& path, const RunIdentity& identity,
                    const ParameterLayout& layout, const TrainState& state) {
  SafeTensorsWriter writer;
  writer.SetMetadata("format", kFormat);
  writer.SetMetadata("config", identity.config);
  writer.SetMetadata("training", identity.training);
  writer.SetMetadata("data", identity.data);
  writer.SetMetadata("step", std::to_string(state.step));
  // The writer points to them.
  const at::Tensor parameters = state.parameters.cpu();
  const at::Tensor first = state.first_moment.cpu();
  const at::Tensor second = state.second_moment.cpu();
  for (const Parameter& p : layout.parameters) {
    AddTensor(&writer, p.name, PartOf(parameters, p));
  }
  for (const Parameter& p : layout.parameters) {
    AddTensor(&writer, kFirstMoment + p.name, PartOf(first, p));
    AddTensor(&writer, kSecondMoment + p.name, PartOf(second, p));
  }
  writer.Add(kLossCurve, "F32", {static_cast<int64_t>(state.loss_curve.size())},
             state.loss_curve.data(), state.loss_curve.size() * sizeof(float));
  writer.Write(path);
}

void LoadCheckpoint(const std::string& path, const RunIdentity& identity,
                    const ParameterLayout& layout, TrainState* state) {
  const SafeTensorsFile file = Open(path);
  CheckIdentity(file, path, identity);
  state->step = ReadStep(file, path);
  state->loss_curve = file.Get(kLossCurve).ToFloats();
  if (static_cast<int64_t>(state->loss_curve.size()) != state->step) {
    Refuse(path, fmt::format("has a loss curve of {} steps at step {}",
                             state->loss_curve.size(), state->step));
  }
  ReadFlat(file, path, layout, "", state->parameters);
  ReadFlat(file, path, layout, kFirstMoment, state->first_moment);
  ReadFlat(file, path, layout, kSecondMoment, state->second_moment);
}

LoadedModel LoadModel(const std::string& path) {
  const SafeTensorsFile file = Open(path);
  LoadedModel model;
  model.config = ParseModelConfig(Metadata(file, path, "config"), path);
  const ParameterLayout layout = LayoutOf(model.config);
  for (const Parameter& p : layout.parameters) file.Get(p.name);
  model.parameters = at::zeros({layout.total_elements}, at::kFloat);
  ReadParameters(file, path, layout, "", model.parameters);
  return model;
}

}  // namespace rattn
