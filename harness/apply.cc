#include "harness/apply.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <deque>
#include <new>
#include <set>
#include <stdexcept>
#include <string_view>

#include "harness/apply_spec.h"
#include "kernels/window.h"
#include "models/error.h"

namespace rattn {
namespace {

// The shapes that tensors come in.
enum class Form { kQuery, kKey, kValue, kOutput, kRow, kState, kNorm, kSink };

struct Entry {
  std::string_view name;
  TensorView Buffers::*view;
  Form form;
  bool narrow;  // the problem's dtype; the others are fp32 or fp64
};

constexpr std::array kInputs = {
    Entry{"q", &Buffers::q, Form::kQuery, true},
    Entry{"k", &Buffers::k, Form::kKey, true},
    Entry{"v", &Buffers::v, Form::kValue, true},
    Entry{"q_memory", &Buffers::q_memory, Form::kQuery, true},
    Entry{"k_memory", &Buffers::k_memory, Form::kKey, true},
    Entry{"initial_state", &Buffers::initial_state, Form::kState, false},
    Entry{"norm_local", &Buffers::norm_local, Form::kNorm, false},
    Entry{"norm_memory", &Buffers::norm_memory, Form::kNorm, false},
    Entry{"sink_logit", &Buffers::sink_logit, Form::kSink, false},
};

constexpr std::array kCotangents = {
    Entry{"do", &Buffers::d_o, Form::kOutput, true},
    Entry{"dfinal_state", &Buffers::d_final_state, Form::kState, false},
};

// Outputs of a local branch, of a memory branch, and those kept in training.
constexpr Entry kOutput = {"o", &Buffers::o, Form::kOutput, true};
constexpr Entry kFinalState = {"final_state", &Buffers::final_state,
                               Form::kState, false};
constexpr std::array kRowOutputs = {
    Entry{"max_logits", &Buffers::max_logits, Form::kRow, false},
    Entry{"lse", &Buffers::lse, Form::kRow, false},
};
constexpr Entry kLocalOutput = {"o_local", &Buffers::o_local, Form::kOutput,
                                false};
constexpr Entry kMemoryOutput = {"o_memory", &Buffers::o_memory, Form::kOutput,
                                 false};

// Gradients, in the order of kInputs.
constexpr std::array kGradients = {
    Entry{"dq", &Buffers::dq, Form::kQuery, true},
    Entry{"dk", &Buffers::dk, Form::kKey, true},
    Entry{"dv", &Buffers::dv, Form::kValue, true},
    Entry{"dq_memory", &Buffers::dq_memory, Form::kQuery, true},
    Entry{"dk_memory", &Buffers::dk_memory, Form::kKey, true},
    Entry{"dinitial_state", &Buffers::d_initial_state, Form::kState, false},
    Entry{"dnorm_local", &Buffers::d_norm_local, Form::kNorm, false},
    Entry{"dnorm_memory", &Buffers::d_norm_memory, Form::kNorm, false},
    Entry{"dsink_logit", &Buffers::d_sink_logit, Form::kSink, false},
};
static_assert(kGradients.size() == kInputs.size());

std::vector<int64_t> FormShape(Form form, const Problem& p) {
  const Shape& s = p.shape;
  switch (form) {
    case Form::kQuery:
      return {s.batch, s.query_len, s.query_heads, s.head_dim};
    case Form::kKey:
      return {s.batch, s.key_len, s.kv_heads, s.head_dim};
    case Form::kValue:
      return {s.batch, s.key_len, s.kv_heads, s.value_dim};
    case Form::kOutput:
      return {s.batch, s.query_len, s.query_heads, s.value_dim};
    case Form::kRow:
      return {s.batch, s.query_len, s.query_heads};
    case Form::kState:
      return {s.batch, StateHeads(p), FeatureDim(p), s.value_dim};
    case Form::kNorm:
      return {s.query_heads, s.value_dim};
    case Form::kSink:
      return {s.query_heads};
  }
  return {};
}

// Four axes: rows have their one value last, parameters lead with ones.
std::array<int64_t, 4> ViewShape(Form form, const Problem& p) {
  std::vector<int64_t> shape = FormShape(form, p);
  if (form == Form::kRow) shape.push_back(1);
  std::array<int64_t, 4> axes = {1, 1, 1, 1};
  std::copy_backward(shape.begin(), shape.end(), axes.end());
  return axes;
}

bool IsCached(Phase phase) {
  return phase == Phase::kExtend || phase == Phase::kDecode;
}

const ApplyTensor* Find(const ApplyTensors& tensors, std::string_view name) {
  const auto found = tensors.find(std::string(name));
  return found == tensors.end() ? nullptr : &found->second;
}

const ApplyTensor& FourAxes(const ApplyTensors& inputs, std::string_view name,
                            std::string_view axes) {
  const ApplyTensor* tensor = Find(inputs, name);
  if (tensor == nullptr) {
    throw UserError(
        fmt::format("tensor '{}' is missing: expected {}", name, axes));
  }
  if (tensor->shape.size() != 4) {
    throw UserError(fmt::format("tensor '{}' has shape [{}], expected {}", name,
                                fmt::join(tensor->shape, ", "), axes));
  }
  return *tensor;
}

Shape ShapeOf(const ApplyTensors& inputs) {
  const auto& q = FourAxes(inputs, "q", "[batch, seq, heads, dim]").shape;
  const auto& k = FourAxes(inputs, "k", "[batch, seq, kv_heads, dim]").shape;
  const auto& v = FourAxes(inputs, "v", "[batch, seq, kv_heads, dim]").shape;
  return {.batch = q[0],
          .query_heads = q[2],
          .kv_heads = k[2],
          .query_len = q[1],
          .key_len = k[1],
          .head_dim = q[3],
          .value_dim = v[3]};
}

// One application: owns the tensors of a call.
class Application {
 public:
  Application(const ApplyOptions& options, const ApplyTensors& inputs)
      : options_(options),
        inputs_(inputs),
        backend_(ApplyBackend(options)),
        problem_(ApplyProblem(options, ShapeOf(inputs))) {}

  ApplyResult Run() {
    CheckTensors();
    CheckMemory();
    for (const Entry& entry : kInputs) Load(entry);
    Allocate(kOutput);
    if (HasMemory(problem_.spec)) Allocate(kFinalState);
    if (IsCached(problem_.phase)) {
      RunOnCache();
    } else {
      RunWhole();
    }
    ApplyResult result;
    for (const Entry& entry : allocated_) {
      result.outputs[std::string(entry.name)] = Unload(entry);
    }
    result.notes = Notes();
    return result;
  }

 private:
  bool Train() const { return problem_.phase == Phase::kTrain; }

  Dtype DtypeOf(const Entry& entry) const {
    if (entry.narrow) return problem_.dtype;
    return problem_.dtype == Dtype::kF64 ? Dtype::kF64 : Dtype::kF32;
  }

  void CheckTensors();
  void CheckShape(const Entry& entry) const;
  void CheckMemory() const;
  void CheckCall(const Problem& problem, const Buffers& buffers) const;
  TensorView Make(const Entry& entry);
  void Load(const Entry& entry);
  void Allocate(const Entry& entry);
  ApplyTensor Unload(const Entry& entry) const;
  void RunWhole();
  void RunOnCache();
  std::vector<std::string> Notes() const;

  const ApplyOptions& options_;
  const ApplyTensors& inputs_;
  const Backend& backend_;
  Problem problem_;
  Buffers buffers_;
  std::deque<AlignedBuffer> storage_;
  std::vector<Entry> allocated_;  // outputs, in the order of allocation
};

void Application::CheckShape(const Entry& entry) const {
  const ApplyTensor* tensor = Find(inputs_, entry.name);
  const std::vector<int64_t> expected = FormShape(entry.form, problem_);
  if (tensor == nullptr || tensor->shape == expected) return;
  throw UserError(fmt::format("tensor '{}' has shape [{}], expected [{}]",
                              entry.name, fmt::join(tensor->shape, ", "),
                              fmt::join(expected, ", ")));
}

void Application::CheckTensors() {
  if (options_.piece < 0) {
    throw UserError(fmt::format(
        "the piece length must be 0 (all) or more, got {}", options_.piece));
  }
  // A state has the KV heads, or the query heads where it came that way.
  for (std::string_view name : {"initial_state", "dfinal_state"}) {
    const ApplyTensor* state = Find(inputs_, name);
    if (state != nullptr && state->shape.size() == 4 &&
        state->shape[1] == problem_.shape.query_heads) {
      problem_.state_per_query_head =
          problem_.shape.query_heads != problem_.shape.kv_heads;
    }
  }
  Problem checked = problem_;
  if (IsCached(problem_.phase)) {
    if (problem_.shape.query_len != problem_.shape.key_len) {
      throw UserError(fmt::format(
          "phase {} needs as many queries as keys, got {} and {}",
          options_.phase, problem_.shape.query_len, problem_.shape.key_len));
    }
    checked.phase = Phase::kExtend;
  }
  if (const Support support = CheckProblem(checked); !support.ok()) {
    throw UserError(support.reason);
  }
  for (const Entry& entry : kInputs) CheckShape(entry);
  for (const Entry& entry : kCotangents) CheckShape(entry);
  if (Train() && Find(inputs_, "do") == nullptr) {
    throw UserError(
        fmt::format("phase train needs the gradient of o: tensor 'do' [{}]",
                    fmt::join(FormShape(Form::kOutput, problem_), ", ")));
  }
}

// Shapes come from a file: what cannot fit is refused before it is allocated.
void Application::CheckMemory() const {
  double bytes = 0;
  const auto add = [&](const auto& entries) {
    for (const Entry& entry : entries) {
      double elements = 1;
      for (int64_t n : FormShape(entry.form, problem_)) {
        elements *= static_cast<double>(n);
      }
      bytes += elements * static_cast<double>(ByteSize(DtypeOf(entry)));
    }
  };
  add(std::array{kOutput});
  if (HasMemory(problem_.spec)) add(std::array{kFinalState});
  if (Train()) add(kGradients);
  const double have = static_cast<double>(::sysconf(_SC_PHYS_PAGES)) *
                      static_cast<double>(::sysconf(_SC_PAGESIZE));
  if (bytes > have) {
    throw RunError(
        fmt::format("the outputs need {:.1f} GiB, this machine has {:.1f} GiB",
                    bytes / 0x1p30, have / 0x1p30));
  }
}

void Application::CheckCall(const Problem& problem,
                            const Buffers& buffers) const {
  Support support = backend_.Supports(problem);
  if (support.ok()) support = CheckBuffers(problem, buffers, Train());
  if (!support.ok()) {
    throw UserError(
        fmt::format("backend {}: {}", backend_.name(), support.reason));
  }
}

TensorView Application::Make(const Entry& entry) {
  const TensorView shape =
      Contiguous(nullptr, DtypeOf(entry), ViewShape(entry.form, problem_));
  storage_.emplace_back(static_cast<size_t>(shape.NumElements()) *
                        ByteSize(shape.dtype));
  return Contiguous(storage_.back().data(), shape.dtype, shape.shape);
}

// Element i of a contiguous view.
TensorView Flat(const TensorView& view) {
  return {view.data, view.dtype, {1, 1, 1, view.NumElements()}, {0, 0, 0, 1}};
}

void Application::Load(const Entry& entry) {
  const ApplyTensor* tensor = Find(inputs_, entry.name);
  if (tensor == nullptr) return;
  const TensorView view = Make(entry), flat = Flat(view);
  for (size_t i = 0; i < tensor->values.size(); ++i) {
    flat.Set(0, 0, 0, static_cast<int64_t>(i), tensor->values[i]);
  }
  buffers_.*entry.view = view;
}

void Application::Allocate(const Entry& entry) {
  buffers_.*entry.view = Make(entry);
  allocated_.push_back(entry);
}

ApplyTensor Application::Unload(const Entry& entry) const {
  const TensorView flat = Flat(buffers_.*entry.view);
  ApplyTensor tensor;
  tensor.shape = FormShape(entry.form, problem_);
  tensor.values.reserve(static_cast<size_t>(flat.shape[3]));
  for (int64_t i = 0; i < flat.shape[3]; ++i) {
    tensor.values.push_back(flat.Get(0, 0, 0, i));
  }
  return tensor;
}

void Application::RunWhole() {
  const bool local = HasLocal(problem_.spec);
  if (local) {
    for (const Entry& entry : kRowOutputs) Allocate(entry);
  }
  if (Train()) {
    if (local) Allocate(kLocalOutput);
    if (HasMemory(problem_.spec)) Allocate(kMemoryOutput);
    for (const Entry& entry : kCotangents) Load(entry);
    for (size_t i = 0; i < kInputs.size(); ++i) {
      const bool zero_start =
          kGradients[i].view == &Buffers::d_initial_state &&
          HasMemory(problem_.spec) &&
          problem_.spec.memory.normalizer == Normalizer::kNone;
      if (buffers_.*kInputs[i].view || zero_start) Allocate(kGradients[i]);
    }
  }
  CheckCall(problem_, buffers_);
  const AlignedBuffer scratch(backend_.WorkspaceBytes(problem_));
  const Workspace workspace = {scratch.data(), scratch.size()};
  backend_.Forward(problem_, buffers_, workspace);
  if (Train()) backend_.Backward(problem_, buffers_, workspace);
}

// The tokens [begin, begin + count) of a view.
TensorView Tokens(TensorView view, int64_t begin, int64_t count) {
  if (!view) return view;
  view.data =
      static_cast<std::byte*>(view.data) +
      begin * view.stride[1] * static_cast<int64_t>(ByteSize(view.dtype));
  view.shape[1] = count;
  return view;
}

void Copy(const TensorView& from, const TensorView& to) {
  const TensorView a = Flat(from), b = Flat(to);
  for (int64_t i = 0; i < a.shape[3]; ++i) {
    b.Set(0, 0, 0, i, a.Get(0, 0, 0, i));
  }
}

void Application::RunOnCache() {
  const int64_t length = problem_.shape.key_len;
  int64_t piece = options_.piece > 0 ? options_.piece : length;
  if (problem_.phase == Phase::kDecode) piece = 1;
  Problem step = problem_;
  // A ring longer than the text holds nothing more.
  const auto clamp = [&](int64_t* window) {
    *window = std::min(*window, length);
  };
  clamp(&step.spec.local.window_keys);
  clamp(&step.spec.memory_window_keys);
  KvCache cache(step, static_cast<bool>(buffers_.k_memory));
  if (buffers_.initial_state) Copy(buffers_.initial_state, cache.state());
  cache.MoveTo(backend_.cache_allocator());
  cache.Reserve(length);
  AlignedBuffer scratch;
  for (int64_t at = 0; at < length; at += piece) {
    const int64_t count = std::min(piece, length - at);
    step.shape.query_len = step.shape.key_len = count;
    Buffers part = buffers_;
    part.initial_state = part.final_state = {};
    for (TensorView Buffers::*view :
         {&Buffers::q, &Buffers::k, &Buffers::v, &Buffers::q_memory,
          &Buffers::k_memory, &Buffers::o}) {
      part.*view = Tokens(buffers_.*view, at, count);
    }
    CheckCall(step, part);
    const size_t bytes = backend_.WorkspaceBytes(step);
    if (bytes > scratch.size()) scratch = AlignedBuffer(bytes);
    backend_.Extend(step, part, cache, {scratch.data(), scratch.size()});
  }
  cache.MoveTo(HostAllocator());
  cache.AbsorbPending();
  if (buffers_.final_state) Copy(cache.state(), buffers_.final_state);
}

std::vector<std::string> Application::Notes() const {
  std::vector<std::string> notes;
  const int64_t window = std::max(problem_.spec.local.window_keys,
                                  problem_.spec.memory_window_keys);
  if (window > problem_.shape.key_len) {
    notes.push_back(fmt::format("a window of {} keys covers all {} tokens",
                                window, problem_.shape.key_len));
  }
  std::set<std::string_view> known;
  for (const Entry& entry : kInputs) known.insert(entry.name);
  if (Train()) {
    for (const Entry& entry : kCotangents) known.insert(entry.name);
  }
  std::vector<std::string_view> ignored;
  for (const auto& [name, tensor] : inputs_) {
    if (!known.contains(name)) ignored.push_back(name);
  }
  if (!ignored.empty()) {
    notes.push_back(fmt::format("phase {} does not read {}", options_.phase,
                                fmt::join(ignored, ", ")));
  }
  return notes;
}

}  // namespace

ApplyResult ApplyMixer(const ApplyOptions& options,
                       const ApplyTensors& inputs) {
  try {
    return Application(options, inputs).Run();
  } catch (const std::bad_alloc&) {
    throw RunError("not enough memory for this mixer: use fewer tokens");
  } catch (const std::length_error&) {
    throw RunError("not enough memory for this mixer: use fewer tokens");
  }
}

}  // namespace rattn
