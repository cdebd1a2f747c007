#include "kernels/backend.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include "kernels/catalog.h"

namespace rattn {
namespace {

using ::testing::HasSubstr;

Problem GoodProblem() {
  Problem problem;
  std::string reason;
  MakeSpec(*FindVariant("rattention"), {.window_keys = 4}, &problem.spec,
           &reason);
  problem.shape = {.batch = 2,
                   .query_heads = 4,
                   .kv_heads = 2,
                   .query_len = 5,
                   .key_len = 5,
                   .head_dim = 16,
                   .value_dim = 8};
  return problem;
}

TEST(Backend, UnknownNameGetsTheNearest) {
  std::string reason;
  EXPECT_EQ(FindBackend("torhc", &reason), nullptr);
  EXPECT_THAT(reason, HasSubstr("\"torch\""));
}

TEST(Backend, EveryEntryGivesABackendOrAReason) {
  for (const BackendEntry& entry : BackendList()) {
    std::string reason;
    const Backend* backend = entry.get(&reason);
    EXPECT_EQ(backend == nullptr, !reason.empty()) << entry.name;
    if (backend) {
      EXPECT_EQ(backend->name(), entry.name);
    }
    EXPECT_EQ(FindBackend(entry.name, &reason), backend);
  }
}

TEST(Backend, TorchLoaderIsAskedOnceInstalled) {
  SetTorchBackendLoader([](std::string* reason) -> const Backend* {
    *reason = "asked";
    return nullptr;
  });
  std::string reason;
  EXPECT_EQ(FindBackend("torch", &reason), nullptr);
  EXPECT_EQ(reason, "asked");
  SetTorchBackendLoader(nullptr);
}

TEST(CheckProblem, AcceptsTheCatalog) {
  for (const Variant& variant : Catalog()) {
    Problem problem = GoodProblem();
    std::string reason;
    ASSERT_TRUE(MakeSpec(variant, {.window_keys = variant.takes_window ? 4 : 0},
                         &problem.spec, &reason));
    EXPECT_EQ(CheckProblem(problem).reason, "") << variant.name;
  }
}

TEST(CheckProblem, NamesWhatIsWrong) {
  struct Case {
    const char* expected;
    std::function<void(Problem&)> edit;
  };
  const Case cases[] = {
      {"multiple of 8, got 7", [](Problem& p) { p.shape.head_dim = 7; }},
      {"multiple of 8, got 0", [](Problem& p) { p.shape.value_dim = 0; }},
      {"multiple of 8, got -8", [](Problem& p) { p.shape.head_dim = -8; }},
      {"batch must be 1", [](Problem& p) { p.shape.batch = 0; }},
      {"query_len must be 1", [](Problem& p) { p.shape.query_len = -3; }},
      {"kv_heads must be 1", [](Problem& p) { p.shape.kv_heads = 0; }},
      {"multiple of kv heads", [](Problem& p) { p.shape.kv_heads = 3; }},
      {"any memory", [](Problem& p) { p.shape.key_len = int64_t{1} << 60; }},
      {"at least 1 key, got 0",
       [](Problem& p) {
         p.spec.local.window_keys = p.spec.memory_window_keys = 0;
       }},
      {"share one window", [](Problem& p) { p.spec.memory_window_keys = 5; }},
      {"needs a window, not a causal",
       [](Problem& p) { p.spec.local.kind = LocalKind::kCausal; }},
      {"local branch, a memory branch or both",
       [](Problem& p) { p.spec = MixerSpec{}; }},
      {"split_heads needs a local",
       [](Problem& p) {
         p.spec.combine = Combine::kSplitHeads;
         p.spec.local.kind = LocalKind::kNone;
       }},
      {"sinks must be 0",
       [](Problem& p) {
         p.spec.local.kind = LocalKind::kWindowSinks;
         p.spec.local.sinks = -1;
       }},
      {"chunk must be 0", [](Problem& p) { p.tiling.chunk = -1; }},
      {"state_every must be 0", [](Problem& p) { p.tiling.state_every = -1; }},
      {"absorb_every must be 0",
       [](Problem& p) { p.tiling.absorb_every = -1; }},
      {"to 1024, got 1025", [](Problem& p) { p.tiling.absorb_every = 1025; }},
      {"threads must be 1", [](Problem& p) { p.threads = 0; }},
      {"theta",
       [](Problem& p) {
         p.positions.rope = true;
         p.positions.theta = 0;
       }},
      {"finite", [](Problem& p) { p.local_scale = NAN; }},
      {"local_softcap must be", [](Problem& p) { p.local_softcap = -50; }},
      {"one token per sequence", [](Problem& p) { p.phase = Phase::kDecode; }},
      {"new tokens",
       [](Problem& p) {
         p.phase = Phase::kExtend;
         p.shape.key_len = 9;
       }},
  };
  for (const Case& c : cases) {
    Problem problem = GoodProblem();
    c.edit(problem);
    EXPECT_THAT(CheckProblem(problem).reason, HasSubstr(c.expected));
  }
}

TEST(CheckProblem, NamesWhatIsWrongWithAPack) {
  struct Case {
    const char* expected;  // empty: nothing
    std::vector<int64_t> cu_seqlens;
    std::function<void(Problem&)> edit = [](Problem&) {};
  };
  const Case cases[] = {
      {"", {0, 5}},
      {"", {0, 0, 2, 2, 3, 5, 5}},
      {"from 0 to the 5 tokens, got 1 .. 5", {1, 5}},
      {"from 0 to the 5 tokens, got 0 .. 4", {0, 2, 4}},
      {"from 0 to the 5 tokens, got 0 .. 0", {0}},
      {"not decrease, got 2 after 3", {0, 3, 2, 5}},
      {"not decrease, got 5 after 9", {0, 9, 5}},
      {"batch of 1, got 2", {0, 5}, [](Problem& p) { p.shape.batch = 2; }},
      {"as many queries as keys, got 4 and 5",
       {0, 5},
       [](Problem& p) { p.shape.query_len = 4; }},
      {"without a cache", {0, 5}, [](Problem& p) { p.phase = Phase::kExtend; }},
  };
  for (const Case& c : cases) {
    Problem problem = GoodProblem();
    problem.shape.batch = 1;
    problem.cu_seqlens = c.cu_seqlens;
    c.edit(problem);
    const std::string reason = CheckProblem(problem).reason;
    EXPECT_THAT(reason, HasSubstr(c.expected));
    EXPECT_EQ(*c.expected == 0, reason.empty()) << reason;
  }
}

class CheckBuffersTest : public ::testing::Test {
 protected:
  CheckBuffersTest() {
    buffers_.q = Make({2, 5, 4, 16});
    buffers_.k = Make({2, 5, 2, 16});
    buffers_.v = Make({2, 5, 2, 8});
    buffers_.o = Make({2, 5, 4, 8});
    buffers_.d_o = Make({2, 5, 4, 8});
    buffers_.lse = Make({2, 5, 4, 1});
    buffers_.o_local = buffers_.o_memory = Make({2, 5, 4, 8});
  }
  TensorView Make(std::array<int64_t, 4> shape) {
    return Contiguous(storage_, Dtype::kF32, shape);
  }
  std::string Reason(bool backward = false) const {
    return CheckBuffers(problem_, buffers_, backward).reason;
  }

  float storage_[1024] = {};
  Problem problem_ = GoodProblem();
  Buffers buffers_;
};

TEST_F(CheckBuffersTest, AcceptsWhatIsNeeded) {
  EXPECT_EQ(Reason(), "");
  problem_.phase = Phase::kTrain;
  EXPECT_EQ(Reason(true), "");
  buffers_.initial_state = buffers_.final_state = Make({2, 2, 32, 8});
  buffers_.norm_local = Make({1, 1, 4, 8});
  EXPECT_EQ(Reason(true), "");
}

TEST_F(CheckBuffersTest, NamesTensorShapeAndExpectation) {
  buffers_.k = Make({2, 4, 2, 16});
  EXPECT_EQ(Reason(), "k has shape [2, 4, 2, 16], expected [2, 5, 2, 16]");
}

TEST_F(CheckBuffersTest, NamesMissingAndWrongDtype) {
  TensorView o = buffers_.o;
  buffers_.o = {};
  EXPECT_EQ(Reason(), "o is missing");
  o.dtype = Dtype::kBF16;
  buffers_.o = o;
  EXPECT_EQ(Reason(), "o is bf16, expected fp32");
}

TEST_F(CheckBuffersTest, TrainingNeedsWhatBackwardReads) {
  problem_.phase = Phase::kTrain;
  buffers_.lse = {};
  EXPECT_EQ(Reason(), "lse is missing");
}

TEST_F(CheckBuffersTest, StateOfAnExtensionLivesInTheCache) {
  problem_.phase = Phase::kExtend;
  EXPECT_EQ(Reason(), "");
  buffers_.initial_state = Make({2, 2, 32, 8});
  EXPECT_THAT(Reason(), HasSubstr("lives in the cache"));
}

TEST_F(CheckBuffersTest, NoBranchNoBuffer) {
  std::string reason;
  MakeSpec(*FindVariant("full"), {}, &problem_.spec, &reason);
  buffers_.initial_state = Make({2, 2, 32, 8});
  EXPECT_EQ(Reason(), "initial_state needs a memory branch");
  MakeSpec(*FindVariant("linear"), {}, &problem_.spec, &reason);
  buffers_.sink_logit = Make({1, 1, 1, 4});
  EXPECT_EQ(Reason(), "sink_logit needs a local branch");
}

}  // namespace
}  // namespace rattn
