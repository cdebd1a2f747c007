// The whole RATTENTION layer of axlearn: projections, RoPE and qk-norm in
// fp64 here, the mixer through the code that `rattn apply` runs.
#include <gtest/gtest.h>

#include "harness/golden_case.h"
#include "kernels/reference/rows.h"

namespace rattn {
namespace {

// c[i, j] = sum_m a[i, m] b[m, j], all row-major.
std::vector<double> Product(const std::vector<double>& a,
                            const std::vector<double>& b, int64_t rows,
                            int64_t inner, int64_t columns) {
  std::vector<double> c(static_cast<size_t>(rows * columns));
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t m = 0; m < inner; ++m) {
      reference::AddScaled(a[static_cast<size_t>(i * inner + m)],
                           b.data() + m * columns, columns,
                           c.data() + i * columns);
    }
  }
  return c;
}

std::vector<double> Transposed(const std::vector<double>& a, int64_t rows,
                               int64_t columns) {
  std::vector<double> t(a.size());
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t j = 0; j < columns; ++j) {
      t[static_cast<size_t>(j * rows + i)] =
          a[static_cast<size_t>(i * columns + j)];
    }
  }
  return t;
}

class Layer {
 public:
  Layer(const GoldenCase& golden, const GoldenRun& run)
      : golden_(golden),
        run_(run),
        batch_(golden.Int("B")),
        length_(golden.Int("T")),
        model_(golden.Int("M")),
        query_heads_(golden.Int("Hq")),
        kv_heads_(golden.Int("Hkv")),
        dim_(golden.Int("D")),
        rows_(batch_ * length_),
        width_(query_heads_ * dim_),
        qkv_width_((query_heads_ + 2 * kv_heads_) * dim_),
        qk_norm_(golden.Flag("qk_norm")) {
    positions_ = {.rope = true,
                  .theta = golden.Number("rope_theta"),
                  .layout = RopeLayout::kInterleaved};
    options_.variant = Catalog().front().name;
    options_.local = Name(LocalKind::kWindow);
    options_.memory = Name(MemoryKind::kLinear);
    options_.feature_map = golden.Text("feat");
    options_.reads = Name(MemoryReads::kOutsideWindow);
    options_.combine = Name(Combine::kSumOfNorms);
    options_.params.window_keys = golden.Int("w") + 1;
    options_.backend = run.backend;
    options_.dtype = Name(run.dtype);
    options_.phase = "train";
    if (!qk_norm_) {
      options_.rope_theta = positions_.theta;
      options_.rope_layout = "interleaved";
    }
  }

  void Check() {
    MakeInputs();
    const ApplyTensors outputs = ApplyMixer(options_, inputs_).outputs;
    Expect("o_swa", outputs.at("o_local"));
    Expect("o_rla", outputs.at("o_memory"));
    Expect("out", ProjectOut(outputs.at("o")));
    Expect("dswa_scale", outputs.at("dnorm_local"));
    Expect("drla_scale", outputs.at("dnorm_memory"));
    Expect("dWo", OutWeightGradient(outputs.at("o")));
    CheckInputGradients(outputs);
    // With w = 0 the source decodes with another mask than it trains with.
    if (golden_.Int("w") > 0) CheckDecode();
  }

 private:
  void Expect(const std::string& name, const ApplyTensor& actual) {
    ExpectGolden(golden_, run_, name, actual,
                 Reshaped(golden_.Get(name), actual.shape));
  }

  // Heads [begin, begin + heads) of qkv as [B, T, heads, D].
  ApplyTensor Heads(int64_t begin, int64_t heads) const {
    return Part({{batch_, length_, query_heads_ + 2 * kv_heads_, dim_}, qkv_},
                2, begin, heads);
  }

  void MakeInputs() {
    x_ = golden_.Get("x").values;
    w_qkv_ = golden_.Get("Wqkv").values;
    w_out_ = golden_.Get("Wo").values;  // [M, Hq D]
    qkv_ = Product(x_, w_qkv_, rows_, model_, qkv_width_);
    q_ = Heads(0, query_heads_);
    k_ = Heads(query_heads_, kv_heads_);
    d_out_ = golden_.Get("dout").values;
    inputs_ = {{"q", q_},
               {"k", k_},
               {"v", Heads(query_heads_ + kv_heads_, kv_heads_)},
               {"norm_local", golden_.Get("swa_scale")},
               {"norm_memory", golden_.Get("rla_scale")},
               {"do",
                {{batch_, length_, query_heads_, dim_},
                 Product(d_out_, w_out_, rows_, model_, width_)}}};
    if (!qk_norm_) return;
    inputs_["q_memory"] = q_;
    inputs_["k_memory"] = k_;
    inputs_["q"] = Normed(q_, "norm_q");
    inputs_["k"] = Normed(k_, "norm_k");
  }

  // One head's row and its position.
  void ForRows(const ApplyTensor& tensor,
               const std::function<void(int64_t, int64_t)>& visit) const {
    const int64_t heads = tensor.shape[2];
    for (int64_t i = 0; i < rows_ * heads; ++i) {
      visit(i * dim_, i / heads % length_);
    }
  }

  // RMS norm after RoPE, as axlearn has it.
  ApplyTensor Normed(const ApplyTensor& tensor, const char* scale) const {
    const std::vector<double> weights = golden_.Get(scale).values;
    ApplyTensor out{tensor.shape, std::vector<double>(tensor.values.size())};
    ForRows(tensor, [&](int64_t at, int64_t position) {
      std::vector<double> row(tensor.values.begin() + at,
                              tensor.values.begin() + at + dim_);
      reference::Rotate(positions_, position, dim_, row.data());
      reference::AddNormed(1, row.data(), weights.data(), dim_,
                           out.values.data() + at);
    });
    return out;
  }

  // The gradient of Normed added to `d_raw`; also that of the scale.
  void NormedGradient(const ApplyTensor& tensor, const char* scale,
                      const ApplyTensor& gradient, ApplyTensor* d_raw) {
    const std::vector<double> weights = golden_.Get(scale).values;
    ApplyTensor d_scale{{dim_}, std::vector<double>(weights.size())};
    ForRows(tensor, [&](int64_t at, int64_t position) {
      std::vector<double> row(tensor.values.begin() + at,
                              tensor.values.begin() + at + dim_);
      std::vector<double> d_row(static_cast<size_t>(dim_));
      reference::Rotate(positions_, position, dim_, row.data());
      reference::NormGradient(1, row.data(), weights.data(),
                              gradient.values.data() + at, dim_, d_row.data(),
                              d_scale.values.data());
      reference::Rotate(positions_, -position, dim_, d_row.data());
      reference::AddScaled(1, d_row.data(), dim_, d_raw->values.data() + at);
    });
    Expect(std::string("d") + scale, d_scale);
  }

  void CheckInputGradients(const ApplyTensors& outputs) {
    ApplyTensor dq = outputs.at(qk_norm_ ? "dq_memory" : "dq");
    ApplyTensor dk = outputs.at(qk_norm_ ? "dk_memory" : "dk");
    const ApplyTensor& dv = outputs.at("dv");
    if (qk_norm_) {
      NormedGradient(q_, "norm_q", outputs.at("dq"), &dq);
      NormedGradient(k_, "norm_k", outputs.at("dk"), &dk);
    }
    std::vector<double> d_qkv;
    for (int64_t row = 0; row < rows_; ++row) {
      for (const ApplyTensor* part :
           {static_cast<const ApplyTensor*>(&dq),
            static_cast<const ApplyTensor*>(&dk), &dv}) {
        const int64_t n = part->shape[2] * dim_;
        d_qkv.insert(d_qkv.end(), part->values.begin() + row * n,
                     part->values.begin() + (row + 1) * n);
      }
    }
    Expect("dx", {{batch_, length_, model_},
                  Product(d_qkv, Transposed(w_qkv_, model_, qkv_width_), rows_,
                          qkv_width_, model_)});
    Expect("dWqkv", {{model_, query_heads_ + 2 * kv_heads_, dim_},
                     Product(Transposed(x_, rows_, model_), d_qkv, model_,
                             rows_, qkv_width_)});
  }

  ApplyTensor ProjectOut(const ApplyTensor& o) const {
    return {{batch_, length_, model_},
            Product(o.values, Transposed(w_out_, model_, width_), rows_, width_,
                    model_)};
  }

  ApplyTensor OutWeightGradient(const ApplyTensor& o) const {
    return {{model_, query_heads_, dim_},
            Product(Transposed(d_out_, rows_, model_), o.values, model_, rows_,
                    width_)};
  }

  void CheckDecode() {
    for (const char* phase : {"decode", "extend"}) {
      SCOPED_TRACE(phase);
      options_.phase = phase;
      options_.piece = 7;
      inputs_.erase("do");
      const ApplyTensors outputs = ApplyMixer(options_, inputs_).outputs;
      Expect("out", ProjectOut(outputs.at("o")));
      if (!golden_.HasTensor("decode_rla_state")) continue;
      Expect("decode_out", ProjectOut(outputs.at("o")));
      ExpectGolden(
          golden_, run_, "decode_rla_state", outputs.at("final_state"),
          PerKvHead(golden_.Get("decode_rla_state"), kv_heads_, false));
    }
  }

  const GoldenCase& golden_;
  const GoldenRun& run_;
  int64_t batch_, length_, model_, query_heads_, kv_heads_, dim_, rows_, width_,
      qkv_width_;
  bool qk_norm_;
  Positions positions_;
  ApplyOptions options_;
  ApplyTensors inputs_;
  ApplyTensor q_, k_;
  std::vector<double> x_, w_qkv_, w_out_, qkv_, d_out_;
};

TEST(Golden, RattentionLayer) {
  ForEachGolden(
      "rattention_layer", [](const GoldenCase& golden, const GoldenRun& run) {
        if (golden.Flag("learned_init") || golden.Flag("rla_qk_scale")) return;
        Layer(golden, run).Check();
      });
}

}  // namespace
}  // namespace rattn
