// Checkpoints of every known architecture against their definitions.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "models/error.h"
#include "models/runtime.h"
#include "models/torch/synthetic_checkpoint.h"

namespace rattn {
namespace {

using testing::HasSubstr;

std::vector<int32_t> Text(int64_t length, int32_t seed) {
  std::vector<int32_t> tokens;
  for (int64_t i = 0; i < length; ++i) {
    seed = (seed * 1103 + 12345) % 65537;
    tokens.push_back(seed % SyntheticCheckpoint::kVocab);
  }
  return tokens;
}

ScoreRequest Split(const std::vector<int32_t>& tokens, int64_t context) {
  return {{tokens.begin(), tokens.begin() + context},
          {tokens.begin() + context, tokens.end()}};
}

std::vector<ContinuationScore> Scores(const ScoringModel& model,
                                      std::vector<ScoreRequest> requests) {
  std::vector<ContinuationScore> scores(requests.size());
  model.Score(requests, [&](size_t i, const ContinuationScore& score) {
    scores[i] = score;
    return true;
  });
  return scores;
}

std::unique_ptr<ScoringModel> LoadFrom(const std::string& folder,
                                       const std::string& backend,
                                       const std::string& dtype = "fp32",
                                       const MixerOverrides& overrides = {},
                                       int threads = 2, int64_t batch = 0) {
  return GetModelRuntime().LoadScoring(folder, overrides,
                                       {backend, dtype, threads, batch});
}

template <typename F>
std::string Message(const F& f) {
  try {
    f();
  } catch (const std::exception& error) {
    return error.what();
  }
  return "";
}

class Families : public testing::TestWithParam<Synthetic> {};

TEST_P(Families, LogProbsEqualTheDefinition) {
  const SyntheticCheckpoint checkpoint(GetParam());
  const auto model = LoadFrom(checkpoint.folder(), "cpu");
  for (const auto& [length, context] :
       {std::pair{40, 1}, std::pair{130, 90}, std::pair{20, 19}}) {
    const std::vector<int32_t> tokens = Text(length, 3);
    const at::Tensor wanted = checkpoint.LogProbs(tokens);
    const ContinuationScore got = Scores(*model, {Split(tokens, context)})[0];
    ASSERT_EQ(got.token_log_probs.size(), size_t(length - context));
    bool greedy = true;
    for (int64_t i = context; i < length; ++i) {
      EXPECT_NEAR(got.token_log_probs[i - context],
                  wanted[i - 1][tokens[i]].item<double>(), 2e-4)
          << "token " << i;
      greedy = greedy && wanted[i - 1].argmax().item<int64_t>() == tokens[i];
    }
    EXPECT_EQ(got.is_greedy, greedy);
  }
}

TEST_P(Families, GreedyContinuationEqualsTheDefinition) {
  const SyntheticCheckpoint checkpoint(GetParam());
  std::vector<int32_t> text = Text(30, 7), wanted;
  while (wanted.size() < 8) {
    const at::Tensor last = checkpoint.LogProbs(text)[-1];
    wanted.push_back(static_cast<int32_t>(last.argmax().item<int64_t>()));
    text.push_back(wanted.back());
  }
  const auto model = LoadFrom(checkpoint.folder(), "cpu");
  std::vector<GenerateRequest> requests(3);
  requests[0] = {Text(30, 7), 8, {}};
  requests[1] = {Text(9, 1), 3, {}};
  requests[2] = {Text(30, 7), 100, [](std::span<const int32_t> tokens) {
                   return tokens.size() == 5;
                 }};
  std::vector<std::vector<int32_t>> got(3);
  model->Generate(requests, [&](size_t i, const std::vector<int32_t>& tokens) {
    got[i] = tokens;
    return true;
  });
  EXPECT_EQ(got[0], wanted);
  EXPECT_EQ(got[1].size(), 3u);
  EXPECT_EQ(got[2], (std::vector<int32_t>(wanted.begin(), wanted.begin() + 5)));
}

// Mean distance of the log-probabilities from the definition's.
double Bf16Error(const SyntheticCheckpoint& checkpoint,
                 const std::string& backend) {
  const auto model = LoadFrom(checkpoint.folder(), backend, "bf16");
  const std::vector<int32_t> tokens = Text(60, 3);
  const at::Tensor wanted = checkpoint.LogProbs(tokens);
  const ContinuationScore got = Scores(*model, {Split(tokens, 1)})[0];
  double sum = 0;
  for (int64_t i = 1; i < 60; ++i) {
    sum += std::abs(got.token_log_probs[i - 1] -
                    wanted[i - 1][tokens[i]].item<double>());
  }
  return sum / 59;
}

// Twice the error of the mixers in plain bf16 operations, where rounding can
// turn a router's choice as well.
TEST_P(Families, Bf16IsNearTheDefinition) {
  const SyntheticCheckpoint checkpoint(GetParam(), at::kBFloat16);
  const double error = Bf16Error(checkpoint, "cpu");
  const double plain = Bf16Error(checkpoint, "aten");
  RecordProperty("error", std::to_string(error));
  RecordProperty("plain", std::to_string(plain));
  EXPECT_GT(plain, 0);
  EXPECT_LT(error, 2 * plain);
}

INSTANTIATE_TEST_SUITE_P(All, Families, testing::ValuesIn(SyntheticFamilies()),
                         [](const auto& info) { return info.param.name; });

Synthetic Family(const std::string& name) {
  for (const Synthetic& s : SyntheticFamilies()) {
    if (s.name == name) return s;
  }
  return {};
}

// Common prefixes, other requests, their order, batches and threads change no
// bit.
TEST(Scoring, ResultsDoNotDependOnTheOtherRequests) {
  for (const char* family : {"gemma3", "mixtral"}) {
    for (const char* dtype : {"fp32", "bf16"}) {
      const SyntheticCheckpoint checkpoint(Family(family));
      const std::vector<int32_t> base = Text(300, 3);
      std::vector<ScoreRequest> requests;
      for (const int64_t length : {40, 90, 91, 200, 260, 300}) {
        for (const int32_t choice : {1, 2, 3}) {
          ScoreRequest request = Split(base, length);
          request.continuation = Text(choice, choice);
          requests.push_back(request);
        }
      }
      requests.push_back(Split(Text(50, 9), 20));
      const auto model = LoadFrom(checkpoint.folder(), "cpu", dtype, {}, 2);
      const std::vector<ContinuationScore> together = Scores(*model, requests);
      std::vector<ScoreRequest> reversed(requests.rbegin(), requests.rend());
      const auto other =
          LoadFrom(checkpoint.folder(), "cpu", dtype, {}, /*threads=*/1,
                   /*batch=*/3);
      std::vector<ContinuationScore> back = Scores(*other, reversed);
      std::reverse(back.begin(), back.end());
      for (size_t i = 0; i < requests.size(); ++i) {
        SCOPED_TRACE(fmt::format("{} {} request {}", family, dtype, i));
        const ContinuationScore alone = Scores(*model, {requests[i]})[0];
        EXPECT_EQ(together[i].token_log_probs, alone.token_log_probs);
        EXPECT_EQ(back[i].token_log_probs, alone.token_log_probs);
        EXPECT_EQ(together[i].is_greedy, alone.is_greedy);
      }
    }
  }
}

TEST(Scoring, GeneratedTokensDoNotDependOnBatchAndThreads) {
  const SyntheticCheckpoint checkpoint(Family("gemma3"));
  std::vector<GenerateRequest> requests;
  for (int64_t i = 0; i < 7; ++i) {
    requests.push_back({Text(5 + 20 * i, static_cast<int32_t>(i)), 4 + i, {}});
  }
  std::vector<std::vector<std::vector<int32_t>>> got;
  for (const auto& [batch, threads] :
       {std::pair{0, 2}, std::pair{1, 1}, std::pair{3, 2}}) {
    got.emplace_back(requests.size());
    LoadFrom(checkpoint.folder(), "cpu", "bf16", {}, threads, batch)
        ->Generate(requests, [&](size_t i, const std::vector<int32_t>& tokens) {
          got.back()[i] = tokens;
          return true;
        });
  }
  EXPECT_EQ(got[0].back().size(), 10u);
  EXPECT_EQ(got[1], got[0]);
  EXPECT_EQ(got[2], got[0]);
}

TEST(Scoring, ShardsAreOneCheckpoint) {
  const SyntheticCheckpoint checkpoint(Family("qwen2"));
  const std::vector<ScoreRequest> requests = {Split(Text(40, 3), 10)};
  const auto whole = Scores(*LoadFrom(checkpoint.folder(), "cpu"), requests);
  checkpoint.WriteSharded();
  const auto sharded = Scores(*LoadFrom(checkpoint.folder(), "cpu"), requests);
  EXPECT_EQ(sharded[0].token_log_probs, whole[0].token_log_probs);
  std::filesystem::remove(checkpoint.folder() +
                          "/model-00002-of-00002.safetensors");
  EXPECT_THAT(Message([&] { LoadFrom(checkpoint.folder(), "cpu"); }),
              HasSubstr("model-00002-of-00002.safetensors"));
}

TEST(Scoring, CommonPrefixesAreComputedOnce) {
  const SyntheticCheckpoint checkpoint(Family("gemma3"));
  // 16 tokens are the smallest piece that is shared.
  const std::vector<int32_t> shots = Text(160, 3);
  std::vector<ScoreRequest> requests;
  int64_t asked = 0;
  for (const int32_t question : {1, 2, 3}) {
    for (const int32_t choice : {5, 6, 7, 8}) {
      ScoreRequest request = Split(shots, 160);
      const std::vector<int32_t> own = Text(20, question);
      request.context.insert(request.context.end(), own.begin(), own.end());
      request.continuation = {choice};
      asked += static_cast<int64_t>(request.context.size());
      requests.push_back(request);
    }
  }
  const auto model = LoadFrom(checkpoint.folder(), "cpu");
  Scores(*model, requests);
  EXPECT_EQ(model->work().asked, asked);
  EXPECT_EQ(model->work().computed, 160 + 3 * 20);
  Scores(*model, {requests[0]});
  EXPECT_EQ(model->work().computed, 160 + 4 * 20 + 160);
}

TEST(Scoring, AnImposedWindowIsThatOfAWindowedModel) {
  Synthetic windowed = Family("llama");
  windowed.windows = std::vector<int64_t>(4, 9);
  const SyntheticCheckpoint checkpoint(windowed);
  const auto model =
      LoadFrom(checkpoint.folder(), "cpu", "fp32", {.window_keys = 9});
  const std::vector<int32_t> tokens = Text(80, 3);
  const at::Tensor wanted = checkpoint.LogProbs(tokens);
  const ContinuationScore got = Scores(*model, {Split(tokens, 1)})[0];
  for (int64_t i = 1; i < 80; ++i) {
    EXPECT_NEAR(got.token_log_probs[i - 1],
                wanted[i - 1][tokens[i]].item<double>(), 2e-4);
  }
}

TEST(Scoring, EveryVariantRunsOnAnUnmodifiedCheckpoint) {
  const SyntheticCheckpoint checkpoint(Family("llama"));
  for (const Variant& variant : Catalog()) {
    SCOPED_TRACE(variant.name);
    const auto model = LoadFrom(checkpoint.folder(), "cpu", "fp32",
                                {.window_keys = variant.takes_window ? 9 : 0,
                                 .variant = std::string(variant.name)});
    const ContinuationScore got = Scores(*model, {Split(Text(50, 3), 20)})[0];
    EXPECT_EQ(got.token_log_probs.size(), 30u);
  }
}

TEST(Scoring, ErrorsNameWhatIsWrong) {
  SyntheticCheckpoint checkpoint(Family("qwen2"));
  const auto load = [&] { LoadFrom(checkpoint.folder(), "cpu"); };
  const std::string name = "model.layers.1.self_attn.k_proj.bias";
  const at::Tensor right = checkpoint.tensors()[name];
  checkpoint.tensors().erase(name);
  checkpoint.Write();
  EXPECT_THAT(Message(load), HasSubstr(name));
  checkpoint.tensors()[name] = at::zeros({5});
  checkpoint.Write();
  EXPECT_THAT(Message(load), testing::AllOf(HasSubstr(name), HasSubstr("[5]"),
                                            HasSubstr("[32]")));
  checkpoint.tensors()[name] = right * NAN;
  checkpoint.Write();
  const auto model = LoadFrom(checkpoint.folder(), "cpu");
  EXPECT_THAT(Message([&] { Scores(*model, {Split(Text(9, 3), 4)}); }),
              HasSubstr("not finite"));
  EXPECT_THAT(Message([&] {
                Scores(*model, {{{1, 97}, {2}}});
              }),
              HasSubstr("token 97"));
  std::filesystem::resize_file(checkpoint.folder() + "/model.safetensors",
                               5000);
  EXPECT_THAT(Message(load), HasSubstr("model.safetensors"));
  std::filesystem::remove(checkpoint.folder() + "/model.safetensors");
  EXPECT_THAT(Message(load), HasSubstr("model.safetensors.index.json"));
}

}  // namespace
}  // namespace rattn
