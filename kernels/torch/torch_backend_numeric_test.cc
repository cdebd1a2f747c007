// The LibTorch baseline against the reference.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "kernels/reference/reference_backend.h"
#include "kernels/test_tensors.h"
#include "kernels/torch/torch_backend.h"

namespace rattn {
namespace {

using testing::HasSubstr;

Problem SwaProblem(int64_t window_keys, int64_t sinks, Dtype dtype) {
  Problem p;
  p.spec.local = {
      .kind = sinks > 0 ? LocalKind::kWindowSinks : LocalKind::kWindow,
      .window_keys = window_keys,
      .sinks = sinks};
  if (window_keys == 0) p.spec.local.kind = LocalKind::kCausal;
  p.phase = Phase::kTrain;
  p.dtype = dtype;
  p.shape = {.batch = 2,
             .query_heads = 4,
             .kv_heads = 2,
             .query_len = 61,
             .key_len = 61,
             .head_dim = 24,
             .value_dim = 24};
  return p;
}

void ExpectSame(const Problem& problem, const TestOptions& options,
                double forward_limit, double backward_limit) {
  const Backend& torch = *TorchBackend();
  ASSERT_EQ(torch.Supports(problem).reason, "");
  TestTensors got(problem, options, 5), want(problem, options, 5);
  RunForward(torch, problem, got.buffers);
  RunForward(*ReferenceBackend(), problem, want.buffers);
  RunBackward(torch, problem, got.buffers);
  RunBackward(*ReferenceBackend(), problem, want.buffers);
  const auto compare = [&](const char* name, TensorView Buffers::*tensor,
                           double limit) {
    EXPECT_LE(RelativeRms(TestTensors::Flat(got.buffers.*tensor),
                          TestTensors::Flat(want.buffers.*tensor)),
              limit)
        << name;
  };
  compare("o", &Buffers::o, forward_limit);
  compare("o_local", &Buffers::o_local, forward_limit);
  compare("lse", &Buffers::lse, forward_limit);
  compare("max_logits", &Buffers::max_logits, forward_limit);
  compare("dq", &Buffers::dq, backward_limit);
  compare("dk", &Buffers::dk, backward_limit);
  compare("dv", &Buffers::dv, backward_limit);
  compare("d_sink_logit", &Buffers::d_sink_logit, backward_limit);
}

TEST(TorchBackend, Fp32EqualsReference) {
  for (const int64_t window : {0, 1, 7, 60, 100}) {
    for (const int64_t sinks : {0, 3}) {
      for (const bool rope : {false, true}) {
        SCOPED_TRACE(testing::Message() << "W " << window << " sinks " << sinks
                                        << " rope " << rope);
        Problem p = SwaProblem(window, window == 0 ? 0 : sinks, Dtype::kF32);
        p.positions.rope = rope;
        if (sinks > 0) p.positions.layout = RopeLayout::kInterleaved;
        ExpectSame(p, {.sink_logit = sinks > 0}, 2e-6, 4e-6);
      }
    }
  }
}

TEST(TorchBackend, Bf16EqualsReference) {
  for (const int64_t window : {0, 7}) {
    const Problem p = SwaProblem(window, window == 0 ? 0 : 2, Dtype::kBF16);
    ExpectSame(p, {}, 1e-2, 2e-2);
  }
}

TEST(TorchBackend, QueriesAtTheEndOfLongerKeys) {
  for (const int64_t window : {0, 9}) {
    Problem p = SwaProblem(window, 0, Dtype::kF32);
    p.shape.query_len = 13;
    p.positions.rope = true;
    ExpectSame(p, {}, 2e-6, 4e-6);
  }
}

// What a plain composition of operators gives for mixers with a memory.
TEST(TorchBackend, MemoriesEqualReference) {
  int compared = 0;
  for (const Variant& variant : Catalog()) {
    for (const int64_t window : {1, 7, 150, 400}) {
      Problem p;
      p.spec = TestSpec(variant, window);
      p.shape = MakeShape(2, 4, 2, 307, 307, 24, 24);
      if (!HasMemory(p.spec) || !TorchBackend()->Supports(p).ok()) continue;
      SCOPED_TRACE(testing::Message() << variant.name << " W " << window);
      const TestOptions options = {.initial_state = window == 7,
                                   .separate_memory = window == 1};
      TestTensors got(p, options, 5), want(p, options, 5);
      RunForward(*TorchBackend(), p, got.buffers);
      RunForward(*ReferenceBackend(), p, want.buffers);
      ++compared;
      for (TensorView Buffers::*tensor :
           {&Buffers::o, &Buffers::o_memory, &Buffers::final_state}) {
        EXPECT_LE(RelativeRms(TestTensors::Flat(got.buffers.*tensor),
                              TestTensors::Flat(want.buffers.*tensor)),
                  4e-6);
      }
    }
  }
  EXPECT_GE(compared, 16);
}

// The same tensors with two elements of room per element.
TEST(TorchBackend, AnyStridesInAndOut) {
  const Problem p = SwaProblem(7, 0, Dtype::kF32);
  TestTensors plain(p, {}, 5), spread(p, {}, 5);
  std::deque<std::vector<float>> storage;
  for (TensorView Buffers::*tensor :
       {&Buffers::q, &Buffers::k, &Buffers::v, &Buffers::d_o, &Buffers::o,
        &Buffers::dq, &Buffers::dk, &Buffers::dv}) {
    TensorView& view = spread.buffers.*tensor;
    storage.emplace_back(view.NumElements() * 2, -1.f);
    for (int64_t i = 0; i < view.NumElements(); ++i) {
      storage.back()[2 * i] = TestTensors::GetFlat(view, i);
    }
    view.data = storage.back().data();
    for (int64_t& stride : view.stride) stride *= 2;
  }
  for (const TestTensors* tensors : {&plain, &spread}) {
    RunForward(*TorchBackend(), p, tensors->buffers);
    RunBackward(*TorchBackend(), p, tensors->buffers);
  }
  size_t n = 4;  // outputs follow the inputs
  for (TensorView Buffers::*tensor :
       {&Buffers::o, &Buffers::dq, &Buffers::dk, &Buffers::dv}) {
    const std::vector<double> want = TestTensors::Flat(plain.buffers.*tensor);
    const std::vector<float>& got = storage[n++];
    for (size_t i = 0; i < want.size(); ++i) {
      ASSERT_NEAR(got[2 * i], want[i], 1e-5);
      ASSERT_EQ(got[2 * i + 1], -1.f) << "written between the elements";
    }
  }
}

TEST(TorchBackend, SaysWhatItCannotDo) {
  const auto reason = [](const auto& edit) {
    Problem p = SwaProblem(7, 0, Dtype::kF32);
    edit(p);
    return TorchBackend()->Supports(p).reason;
  };
  EXPECT_THAT(
      reason([](Problem& p) { p.spec.memory.kind = MemoryKind::kLinear; }),
      HasSubstr("forward only"));
  EXPECT_THAT(reason([](Problem& p) { p.spec.combine = Combine::kSumOfNorms; }),
              HasSubstr("norms"));
  EXPECT_THAT(reason([](Problem& p) {
                p.phase = Phase::kDecode;
                p.shape.query_len = p.shape.key_len = 1;
              }),
              HasSubstr("caches"));
  EXPECT_THAT(reason([](Problem& p) { p.local_softcap = 50; }),
              HasSubstr("capped"));
  EXPECT_THAT(reason([](Problem& p) { p.dtype = Dtype::kF64; }),
              HasSubstr("bf16"));
  EXPECT_THAT(reason([](Problem& p) { p.shape.value_dim = 32; }),
              HasSubstr("value dim"));
  EXPECT_THAT(reason([](Problem& p) { p.shape.query_len = 70; }),
              HasSubstr("key per query"));
  EXPECT_THAT(
      reason([](Problem& p) { p.shape.query_len = p.shape.key_len = 65536; }),
      HasSubstr("2 GiB"));
  EXPECT_EQ(reason([](Problem& p) {
              p.shape.query_len = p.shape.key_len = 65536;
              p.spec.local = {.kind = LocalKind::kCausal};
            }),
            "");
  EXPECT_THAT(TorchBackend()->description(), HasSubstr("O(T^2)"));
}

}  // namespace
}  // namespace rattn
