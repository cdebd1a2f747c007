// The backends against results of implementations that are not ours, through
// the code that `rattn apply` runs. Every field of a spec is set by itself, so
// that no variant is named here.
#include <gtest/gtest.h>

#include "harness/golden_case.h"
#include "kernels/reference/rows.h"
#include "kernels/window.h"

namespace rattn {
namespace {

ApplyOptions BaseOptions(const GoldenRun& run) {
  ApplyOptions options;
  options.variant = Catalog().front().name;
  options.local = Name(LocalKind::kNone);
  options.memory = Name(MemoryKind::kNone);
  options.combine = Name(Combine::kSum);
  options.backend = run.backend;
  options.dtype = Name(run.dtype);
  options.tiling = {.chunk = 16};
  return options;
}

ApplyOptions LocalOptions(const GoldenRun& run, int64_t window_keys) {
  ApplyOptions options = BaseOptions(run);
  options.local =
      Name(window_keys > 0 ? LocalKind::kWindow : LocalKind::kCausal);
  options.params.window_keys = window_keys;
  return options;
}

// The paper's w: a distance, or -1 for a memory that reads everything.
ApplyOptions MemoryOptions(const GoldenRun& run, const std::string& features,
                           int64_t w) {
  ApplyOptions options = BaseOptions(run);
  options.memory = Name(MemoryKind::kLinear);
  options.feature_map = features;
  options.reads =
      Name(w < 0 ? MemoryReads::kEverything : MemoryReads::kOutsideWindow);
  options.params.window_keys = w + 1;
  return options;
}

double ScaleOf(const GoldenCase& golden) {
  const std::string& text = golden.Text("scale");
  return std::isdigit(text[0]) && text.find('/') == std::string::npos
             ? std::stod(text)
             : 0;
}

// The same inputs through every phase: `o` and `final_state` stay the same.
void ExpectCachedPhases(const GoldenCase& golden, const GoldenRun& run,
                        ApplyOptions options, ApplyTensors inputs,
                        const ApplyTensors& expected,
                        const std::string& state_name = "final_state") {
  inputs.erase("do");
  inputs.erase("dfinal_state");
  for (const auto& [phase, piece] :
       {std::pair{"decode", 1}, {"extend", 5}, {"extend", 0}}) {
    SCOPED_TRACE(phase);
    options.phase = phase;
    options.piece = piece;
    const ApplyTensors outputs = ApplyMixer(options, inputs).outputs;
    ExpectGolden(golden, run, "o", outputs.at("o"), expected.at("o"));
    if (!expected.contains("final_state")) continue;
    const ApplyTensor& state = expected.at("final_state");
    if (outputs.at("final_state").shape == state.shape) {
      ExpectGolden(golden, run, state_name, outputs.at("final_state"), state);
    }
  }
}

void ExpectAll(const GoldenCase& golden, const GoldenRun& run,
               const ApplyTensors& outputs, const ApplyTensors& expected,
               const std::map<std::string, std::string>& their_names = {}) {
  for (const auto& [name, tensor] : expected) {
    const auto theirs = their_names.find(name);
    ASSERT_TRUE(outputs.contains(name)) << name;
    ExpectGolden(golden, run,
                 theirs == their_names.end() ? name : theirs->second,
                 outputs.at(name), tensor);
  }
}

TEST(Golden, ResidualLinearAttention) {
  ForEachGolden("rla", [](const GoldenCase& golden, const GoldenRun& run) {
    ApplyOptions options =
        MemoryOptions(run, golden.Text("feat"), golden.Int("w"));
    options.phase = "train";
    ApplyTensors inputs, expected;
    for (const char* name : {"q", "k", "v", "do"}) {
      inputs[name] = SwapMiddle(golden.Get(name));
    }
    for (const char* name : {"o", "dq", "dk", "dv"}) {
      expected[name] = SwapMiddle(golden.Get(name));
    }
    const int64_t kv_heads = golden.Int("Hkv");
    // States per query head, as they are stored, and per KV head where all
    // heads of a group start from the same state.
    for (bool per_kv_head : {false, true}) {
      if (per_kv_head && golden.Text("h0") == "qhead" &&
          kv_heads != golden.Int("Hq")) {
        continue;
      }
      SCOPED_TRACE(per_kv_head ? "state per KV head" : "state per query head");
      const auto state = [&](const char* name, bool sum) {
        const ApplyTensor tensor = golden.Get(name);
        return per_kv_head ? PerKvHead(tensor, kv_heads, sum) : tensor;
      };
      const bool given = golden.HasTensor("h0");
      if (given) inputs["initial_state"] = state("h0", false);
      if (golden.HasTensor("dfinal_state")) {
        inputs["dfinal_state"] = state("dfinal_state", true);
      }
      if (!given && !per_kv_head) {
        inputs["initial_state"] = golden.Get("dh0");
        std::fill(inputs["initial_state"].values.begin(),
                  inputs["initial_state"].values.end(), 0.0);
      }
      if (!given && per_kv_head) inputs.erase("initial_state");
      expected["final_state"] = state("final_state", false);
      expected["dinitial_state"] = state("dh0", true);
      ExpectAll(golden, run, ApplyMixer(options, inputs).outputs, expected,
                {{"dinitial_state", "dh0"}});
      ExpectCachedPhases(golden, run, options, inputs, expected);
    }
  });
}

// Rows i >= t read the state that token t would: as if the values from t-w-1
// on were zero.
TEST(Golden, ResidualLinearAttentionPrefill) {
  ForEachGolden("rla_prefill", [](const GoldenCase& golden,
                                  const GoldenRun& run) {
    ApplyOptions options =
        MemoryOptions(run, golden.Text("feat"), golden.Int("w"));
    ApplyTensors inputs;
    for (const char* name : {"q", "k", "v"}) {
      inputs[name] = SwapMiddle(golden.Get(name));
    }
    if (golden.HasTensor("h0")) inputs["initial_state"] = golden.Get("h0");
    const ApplyTensor steps = golden.Get("timestep");
    ApplyTensor& v = inputs["v"];
    const int64_t row = v.shape[2] * v.shape[3];
    for (int64_t b = 0; b < v.shape[0]; ++b) {
      const int64_t from = std::max<int64_t>(
          static_cast<int64_t>(steps.values[static_cast<size_t>(b)]) -
              golden.Int("w") - 1,
          0);
      std::fill(v.values.begin() + (b * v.shape[1] + from) * row,
                v.values.begin() + (b + 1) * v.shape[1] * row, 0.0);
    }
    const ApplyTensors expected = {{"o", SwapMiddle(golden.Get("o"))},
                                   {"final_state", golden.Get("final_state")}};
    ApplyTensors outputs = ApplyMixer(options, inputs).outputs;
    ApplyTensor& state = outputs.at("final_state");
    if (state.shape[1] != golden.Int("Hq")) {
      ExpectGolden(golden, run, "final_state", state,
                   PerKvHead(golden.Get("final_state"), state.shape[1], false));
      ExpectGolden(golden, run, "o", outputs.at("o"), expected.at("o"));
      return;
    }
    ExpectAll(golden, run, outputs, expected);
    ExpectCachedPhases(golden, run, options, inputs, expected);
  });
}

TEST(Golden, LinearAttention) {
  ForEachGolden(
      "linear_attention", [](const GoldenCase& golden, const GoldenRun& run) {
        ApplyOptions options =
            MemoryOptions(run, std::string(Name(FeatureMap::kIdentity)), -1);
        options.phase = "train";
        options.memory_scale = 1 / std::sqrt(golden.Number("K"));
        if (golden.Flag("normalize"))
          options.normalizer = Name(Normalizer::kSum);
        ApplyTensors inputs, expected;
        for (const char* name : {"q", "k", "v", "do"}) {
          inputs[name] = golden.Get(name);
        }
        if (golden.HasTensor("dS")) inputs["dfinal_state"] = golden.Get("dS");
        for (const char* name : {"o", "dq", "dk", "dv"}) {
          expected[name] = golden.Get(name);
        }
        expected["final_state"] = golden.Get("S");
        ExpectAll(golden, run, ApplyMixer(options, inputs).outputs, expected,
                  {{"final_state", "S"}});
        ExpectCachedPhases(golden, run, options, inputs, expected, "S");
      });
}

TEST(Golden, SlidingWindow) {
  ForEachGolden("swa", [](const GoldenCase& golden, const GoldenRun& run) {
    const bool full = golden.Text("keep_W") == "None";
    ApplyOptions options = LocalOptions(run, full ? 0 : golden.Int("keep_W"));
    options.phase = "train";
    options.local_scale = ScaleOf(golden);
    ApplyTensors inputs, expected;
    for (const char* name : {"q", "k", "v", "do"}) {
      inputs[name] = golden.Get(name);
    }
    for (const char* name : {"o", "max_logits", "dq", "dk", "dv"}) {
      expected[name] = golden.Get(name);
    }
    if (golden.HasTensor("sink_bias")) {
      inputs["sink_logit"] = golden.Get("sink_bias");
      expected["dsink_logit"] = golden.Get("dsink_bias");
    }
    ExpectAll(golden, run, ApplyMixer(options, inputs).outputs, expected,
              {{"dsink_logit", "dsink_bias"}});
    ExpectCachedPhases(golden, run, options, inputs, expected);
  });
}

TEST(Golden, FlashAttentionWindows) {
  ForEachGolden("fa_local", [](const GoldenCase& golden, const GoldenRun& run) {
    if (golden.Number("softcap") != 0 || golden.Int("window_right") != 0) {
      return;  // no such mixer here
    }
    // Left distances count the keys before the token itself; -1 is unbounded.
    ApplyOptions options = LocalOptions(run, golden.Int("window_left") + 1);
    options.phase = "train";
    options.local_scale = ScaleOf(golden);
    const LocalSpec local = ApplySpec(options).local;
    const ApplyTensor mask = golden.Get("visible");
    const int64_t queries = golden.Int("Tq"), keys = golden.Int("Tk");
    for (int64_t b = 0; b < golden.Int("B"); ++b) {
      const auto length = [&](const char* name, int64_t whole) {
        return golden.HasTensor(name)
                   ? static_cast<int64_t>(
                         golden.Get(name).values[static_cast<size_t>(b)])
                   : whole;
      };
      const int64_t tq = length("qlen", queries), tk = length("klen", keys);
      const bool per_row = mask.shape.size() == 4;
      for (int64_t i = 0; i < tq; ++i) {
        for (int64_t j = 0; j < tk; ++j) {
          const int64_t at = ((per_row ? b : 0) * queries + i) * keys + j;
          EXPECT_EQ(LocalVisible(local, i + tk - tq, j),
                    mask.values[static_cast<size_t>(at)] == 1)
              << i << " " << j;
        }
      }
      const auto rows = [&](const char* name, int64_t count) {
        return Part(Part(golden.Get(name), 0, b, 1), 1, 0, count);
      };
      const ApplyTensors inputs = {{"q", rows("q", tq)},
                                   {"k", rows("k", tk)},
                                   {"v", rows("v", tk)},
                                   {"do", rows("do", tq)}};
      ExpectAll(golden, run, ApplyMixer(options, inputs).outputs,
                {{"o", rows("o", tq)},
                 {"dq", rows("dq", tq)},
                 {"dk", rows("dk", tk)},
                 {"dv", rows("dv", tk)}});
    }
  });
}

// The source keeps recent or recent + 1 keys besides the sinks, by whether it
// evicts before or after a step.
TEST(Golden, StreamingLlm) {
  ForEachGolden("streaming_llm", [](const GoldenCase& golden,
                                    const GoldenRun& run) {
    const int64_t length = golden.Int("T");
    ApplyTensors inputs;
    for (const char* name : {"q", "k", "v"}) {
      ApplyTensor tensor = golden.Get(name);
      tensor.shape.insert(tensor.shape.begin(), 1);
      inputs[name] = tensor;
    }
    for (const auto& [when, extra] :
         {std::pair{std::string("after"), 1}, {std::string("before"), 0}}) {
      for (SinkPositions positions :
           {SinkPositions::kTrue, SinkPositions::kSlot}) {
        ApplyOptions options = BaseOptions(run);
        options.local = Name(LocalKind::kWindowSinks);
        options.sink_positions = Name(positions);
        options.params = {.window_keys = golden.Int("recent_size") + extra,
                          .sinks = golden.Int("start_size")};
        options.rope_theta = golden.Number("rope_theta");
        const LocalSpec local = ApplySpec(options).local;
        const ApplyTensor mask = golden.Get("visible_evict_" + when);
        const ApplyTensor slots = golden.Get("slot_evict_" + when);
        const auto slot = [&](int64_t i, int64_t j) {
          return static_cast<int64_t>(
              slots.values[static_cast<size_t>(i * length + j)]);
        };
        for (int64_t i = 0; i < length; ++i) {
          for (int64_t j = 0; j < length; ++j) {
            const bool visible =
                mask.values[static_cast<size_t>(i * length + j)] == 1;
            EXPECT_EQ(LocalVisible(local, i, j), visible) << i << " " << j;
            if (!visible || positions == SinkPositions::kTrue) continue;
            // What RoPE sees: the difference of positions.
            const bool sink = j < local.sinks;
            EXPECT_EQ(slot(i, i) - slot(i, j),
                      (sink ? SinkQueryPosition(local, i) : i) - j)
                << i << " " << j;
          }
        }
        const std::string name =
            fmt::format("o_{}_evict_{}", Name(positions), when);
        ApplyTensor expected = golden.Get(name);
        expected.shape.insert(expected.shape.begin(), 1);
        for (const auto& [phase, piece] :
             {std::pair{"forward", 0}, {"decode", 1}, {"extend", 7}}) {
          SCOPED_TRACE(phase);
          options.phase = phase;
          options.piece = piece;
          ExpectGolden(golden, run, name,
                       ApplyMixer(options, inputs).outputs.at("o"), expected);
        }
      }
    }
  });
}

}  // namespace
}  // namespace rattn
