#include "harness/apply.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <functional>

#include "harness/backends.h"
#include "kernels/backend.h"
#include "kernels/random.h"
#include "models/error.h"
#include "models/safetensors.h"

namespace rattn {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

ApplyTensor Random(std::vector<int64_t> shape, uint64_t stream) {
  ApplyTensor tensor{std::move(shape), {}};
  int64_t n = 1;
  for (int64_t size : tensor.shape) n *= size;
  for (int64_t i = 0; i < n; ++i) {
    tensor.values.push_back(Philox(7, stream).Normal(static_cast<uint64_t>(i)));
  }
  return tensor;
}

ApplyTensors Inputs() {
  return {{"q", Random({2, 11, 4, 8}, 0)},
          {"k", Random({2, 11, 2, 8}, 1)},
          {"v", Random({2, 11, 2, 16}, 2)},
          {"do", Random({2, 11, 4, 16}, 3)}};
}

ApplyOptions Options(const Variant& variant, const std::string& phase) {
  ApplyOptions options;
  options.variant = variant.name;
  options.params.window_keys = variant.takes_window ? 3 : 0;
  options.backend = "reference";
  options.phase = phase;
  options.dtype = "fp64";
  return options;
}

std::string ErrorOf(const ApplyOptions& options, const ApplyTensors& inputs) {
  try {
    ApplyMixer(options, inputs);
  } catch (const UserError& error) {
    EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos);
    return error.what();
  }
  return "";
}

// The reference in fp64, and every backend of ours that is there in fp32.
std::vector<ApplyOptions> OnEveryBackend(ApplyOptions options) {
  std::vector<ApplyOptions> all = {options};
  options.dtype = "fp32";
  for (const BackendEntry& entry : BackendList()) {
    std::string reason;
    options.backend = entry.name;
    if (entry.on_demand || entry.get(&reason) == nullptr) continue;
    all.push_back(options);
  }
  return all;
}

TEST(Apply, AllPhasesAndBackendsAgree) {
  for (const Variant& variant : Catalog()) {
    const ApplyResult whole = ApplyMixer(Options(variant, "forward"), Inputs());
    std::vector<ApplyOptions> runs;
    for (const char* phase : {"forward", "train", "decode", "extend"}) {
      for (ApplyOptions& options : OnEveryBackend(Options(variant, phase))) {
        options.piece = 4;
        runs.push_back(options);
      }
    }
    for (const ApplyOptions& options : runs) {
      const ApplyResult other = ApplyMixer(options, Inputs());
      const double tolerance = options.dtype == "fp64" ? 1e-12 : 2e-5;
      for (const char* name : {"o", "final_state"}) {
        const auto a = whole.outputs.find(name), b = other.outputs.find(name);
        ASSERT_EQ(a == whole.outputs.end(), b == other.outputs.end());
        if (a == whole.outputs.end()) continue;
        EXPECT_EQ(a->second.shape, b->second.shape);
        for (size_t i = 0; i < a->second.values.size(); ++i) {
          ASSERT_NEAR(a->second.values[i], b->second.values[i], tolerance)
              << variant.name << " " << options.phase << " on "
              << options.backend << ": " << name;
        }
      }
    }
  }
}

TEST(Apply, TheTorchBaselineAgreesWhereItCan) {
  ConnectTorchBackend();
  std::string reason;
  if (FindBackend("torch", &reason) == nullptr) GTEST_SKIP() << reason;
  ApplyTensors inputs = Inputs();
  inputs["v"] = inputs.at("k");
  inputs["do"] = inputs.at("q");
  ApplyOptions options = Options(*FindVariant("swa"), "train");
  const ApplyTensors exact = ApplyMixer(options, inputs).outputs;
  options.backend = "torch";
  options.dtype = "fp32";
  const ApplyTensors outputs = ApplyMixer(options, inputs).outputs;
  for (const char* name : {"o", "dq", "dk", "dv"}) {
    const std::vector<double>& values = outputs.at(name).values;
    for (size_t i = 0; i < values.size(); ++i) {
      ASSERT_NEAR(values[i], exact.at(name).values[i], 2e-5) << name;
    }
  }
  options.variant = "rattention";
  EXPECT_THAT(ErrorOf(options, inputs), HasSubstr("forward only"));
}

TEST(Apply, TrainingGivesAGradientForEveryInput) {
  for (const Variant& variant : Catalog()) {
    ApplyTensors inputs = Inputs();
    if (HasLocal(variant.spec)) inputs["sink_logit"] = Random({4}, 4);
    if (HasMemory(variant.spec)) {
      const int64_t features = FeatureDim(variant.spec.memory.feature_map, 8);
      inputs["initial_state"] = Random({2, 2, features, 16}, 5);
      inputs["q_memory"] = Random({2, 11, 4, 8}, 6);
      inputs["k_memory"] = Random({2, 11, 2, 8}, 7);
    }
    inputs["norm_local"] = Random({4, 16}, 8);
    inputs["norm_memory"] = Random({4, 16}, 9);
    const ApplyTensors exact =
        ApplyMixer(Options(variant, "train"), inputs).outputs;
    for (const ApplyOptions& options :
         OnEveryBackend(Options(variant, "train"))) {
      const ApplyResult result = ApplyMixer(options, inputs);
      EXPECT_TRUE(result.notes.empty());
      for (const auto& [name, tensor] : inputs) {
        if (name == "do") continue;
        ASSERT_TRUE(result.outputs.contains("d" + name)) << name;
        const ApplyTensor& gradient = result.outputs.at("d" + name);
        EXPECT_EQ(gradient.shape, tensor.shape) << name;
        for (size_t i = 0; i < gradient.values.size(); ++i) {
          const double expected = exact.at("d" + name).values[i];
          ASSERT_NEAR(gradient.values[i], expected,
                      1e-4 * (1 + std::abs(expected)))
              << variant.name << " on " << options.backend << ": d" << name;
        }
      }
    }
  }
}

TEST(Apply, StatesOfQueryHeadsAreRecognised) {
  ApplyOptions options = Options(*FindVariant("rla"), "train");
  ApplyTensors inputs = Inputs();
  EXPECT_THAT(ApplyMixer(options, inputs).outputs.at("final_state").shape,
              ElementsAre(2, 2, 16, 16));
  inputs["dfinal_state"] = Random({2, 4, 16, 16}, 5);
  const ApplyResult result = ApplyMixer(options, inputs);
  EXPECT_THAT(result.outputs.at("final_state").shape,
              ElementsAre(2, 4, 16, 16));
  EXPECT_THAT(result.outputs.at("dinitial_state").shape,
              ElementsAre(2, 4, 16, 16));
}

TEST(Apply, EveryFieldOfASpecCanBeSet) {
  ApplyOptions options = Options(*FindVariant("full"), "forward");
  options.local = "window_sinks";
  options.sink_positions = "slot";
  options.memory = "linear";
  options.feature_map = "relu";
  options.normalizer = "sum";
  options.reads = "outside_window";
  options.combine = "mean_of_norms";
  options.params = {.window_keys = 5, .sinks = 2};
  EXPECT_EQ(Describe(ApplySpec(options)),
            "window(5) + sinks(2, slot) + linear(relu, outside_window, "
            "normalized) | mean_of_norms");
  options.params.window_keys = 0;
  EXPECT_THROW(ApplySpec(options), UserError);
}

TEST(Apply, ErrorsNameTensorShapeAndExpectation) {
  struct Case {
    const char* expected;
    std::function<void(ApplyOptions&, ApplyTensors&)> edit;
  };
  const Case cases[] = {
      {"'k' is missing", [](auto&, auto& t) { t.erase("k"); }},
      {"'q' has shape [2, 11, 32], expected [batch",
       [](auto&, auto& t) {
         t["q"] = Random({2, 11, 32}, 0);
       }},
      {"'v' has shape [2, 10, 2, 16], expected [2, 11, 2, 16]",
       [](auto&, auto& t) {
         t["v"] = Random({2, 10, 2, 16}, 0);
       }},
      {"multiple of 8, got 7",
       [](auto&, auto& t) {
         t["q"] = Random({2, 11, 4, 7}, 0);
         t["k"] = Random({2, 11, 2, 7}, 0);
       }},
      {"must be 1 or more, got 0",
       [](auto&, auto& t) {
         t["q"] = {{2, 0, 4, 8}, {}};
       }},
      {"'do' [2, 11, 4, 16]",
       [](auto& o, auto& t) {
         o.phase = "train";
         t.erase("do");
       }},
      {"'norm_local' has shape [16], expected [4, 16]",
       [](auto&, auto& t) { t["norm_local"] = Random({16}, 0); }},
      {"'initial_state' has shape [2, 3, 16, 16], expected [2, 2, 16, 16]",
       [](auto&, auto& t) {
         t["initial_state"] = Random({2, 3, 16, 16}, 0);
       }},
      {"at least 1 key, got 0",
       [](auto& o, auto&) { o.params.window_keys = 0; }},
      {"at least 1 key, got -4",
       [](auto& o, auto&) { o.params.window_keys = -4; }},
      {"mean \"rattention\"", [](auto& o, auto&) { o.variant = "ratention"; }},
      {"mean \"reference\"", [](auto& o, auto&) { o.backend = "refrence"; }},
      {"mean \"forward\"", [](auto& o, auto&) { o.phase = "forwart"; }},
      {"mean \"fp32\"", [](auto& o, auto&) { o.dtype = "f32"; }},
      {"mean \"relu\"", [](auto& o, auto&) { o.feature_map = "reluu"; }},
      {"piece length", [](auto& o, auto&) { o.piece = -1; }},
      {"chunk must be", [](auto& o, auto&) { o.tiling.chunk = -1; }},
      {"built without CUDA", [](auto& o, auto&) { o.backend = "cuda"; }},
      {"as many queries as keys",
       [](auto& o, auto& t) {
         o.phase = "decode";
         t["q"] = Random({2, 5, 4, 8}, 0);
         t.erase("do");
       }},
  };
  for (const Case& c : cases) {
    ApplyOptions options = Options(*FindVariant("rattention"), "forward");
    ApplyTensors inputs = Inputs();
    c.edit(options, inputs);
    EXPECT_THAT(ErrorOf(options, inputs), HasSubstr(c.expected));
  }
}

TEST(Apply, NotesSayWhatIsUnusual) {
  ApplyOptions options = Options(*FindVariant("swa"), "forward");
  options.params.window_keys = 12;
  ApplyTensors inputs = Inputs();
  inputs["surprise"] = Random({3}, 0);
  EXPECT_THAT(ApplyMixer(options, inputs).notes,
              ElementsAre("a window of 12 keys covers all 11 tokens",
                          "phase forward does not read do, surprise"));
}

TEST(Apply, AHugeWindowNeedsNoHugeRing) {
  for (const char* phase : {"decode", "extend", "forward"}) {
    ApplyOptions options = Options(*FindVariant("rattention"), phase);
    options.params.window_keys = int64_t{1} << 60;
    EXPECT_EQ(ApplyMixer(options, Inputs()).outputs.at("o").shape[1], 11);
  }
}

TEST(Apply, FromFileToFile) {
  std::string folder = ::testing::TempDir() + "/applyXXXXXX";
  ASSERT_NE(::mkdtemp(folder.data()), nullptr);
  const std::string in = folder + "/in.safetensors";
  const std::string out = folder + "/out.safetensors";
  SafeTensorsWriter writer;
  for (const auto& [name, tensor] : Inputs()) {
    writer.Add(name, "F64", tensor.shape, tensor.values.data(),
               tensor.values.size() * 8);
  }
  const int32_t number = 3;
  writer.Add("length", "I32", {1}, &number, 4);
  writer.Write(in);
  ApplyOptions options = Options(*FindVariant("rattention"), "train");
  EXPECT_THAT(ApplyFile(options, in, out),
              ElementsAre(HasSubstr("length (I32)")));
  const ApplyResult expected = ApplyMixer(options, Inputs());
  {
    const SafeTensorsFile file(out);
    EXPECT_EQ(file.tensors().size(), expected.outputs.size());
    for (const auto& [name, tensor] : expected.outputs) {
      EXPECT_EQ(file.Get(name).dtype, "F64");
      EXPECT_EQ(file.Get(name).shape, tensor.shape);
      EXPECT_EQ(file.Get(name).ToDoubles(), tensor.values);
    }
  }
  options.dtype = "fp32";
  ApplyFile(options, in, out);
  EXPECT_EQ(SafeTensorsFile(out).Get("dq").dtype, "F32");
  EXPECT_THROW(ApplyFile(options, folder + "/none", out), UserError);
  EXPECT_THROW(ApplyFile(options, in, folder + "/no/out"), RunError);
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace rattn
