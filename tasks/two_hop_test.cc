#include "tasks/two_hop.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "kernels/random.h"
#include "models/error.h"
#include "tasks/fake_model.h"
#include "tasks/params.h"

namespace rattn {
namespace {

using ::testing::HasSubstr;

// The answer AT the end of `prefix`, from the text alone: -1 if none is asked.
// Knows the classes of tokens, not the layout.
int32_t Solve(const TwoHopParams& p, std::span<const int32_t> prefix) {
  const TwoHopVocab vocab(p);
  const int32_t last = prefix.back();
  if (last >= vocab.noise0) return prefix[prefix.size() - 1 - p.local_distance];
  if (last < vocab.ref0 || last >= vocab.value0) return -1;
  int32_t name = last;
  for (int hop = 0; hop < 2; ++hop) {
    const int32_t definition = name - vocab.ref0 + vocab.def0;
    const auto at = std::find(prefix.begin(), prefix.end(), definition);
    if (at == prefix.end() || at + 1 == prefix.end()) return -1;
    if (at[1] >= vocab.value0) return at[1];
    name = at[1];
  }
  return -1;
}

FakeModel Oracle(const TwoHopParams& p) {
  return FakeModel::Certain(p.vocab_size, [p](FakeModel::Prefix prefix) {
    return std::max(0, Solve(p, prefix));
  });
}

TEST(TwoHop, TrainingRowsHaveRecipeLayout) {
  const auto task = MakeTwoHop("");
  EXPECT_EQ(task->train_length(), 56);
  EXPECT_EQ(task->vocab_size(), 48);
  const TwoHopParams p;
  const TwoHopVocab vocab(p);
  const Batch batch = task->TrainBatch(3, 40);
  ASSERT_EQ(batch.length, 56);
  for (int64_t row = 0; row < batch.rows; ++row) {
    const int32_t* tokens = batch.tokens.data() + row * 56;
    const int32_t* targets = batch.targets.data() + row * 56;
    int64_t labels = 0;
    std::set<int32_t> queries(tokens + 48, tokens + 56);
    EXPECT_EQ(queries.size(), 8u);
    for (int64_t at = 0; at < 56; ++at) {
      const bool noise = tokens[at] >= vocab.noise0;
      const bool gap = (at >= 16 && at < 24) || (at >= 40 && at < 48);
      EXPECT_TRUE(noise || !gap);
      const bool local = (at >= 19 && at < 24) || (at >= 43 && at < 48);
      const bool reference =
          tokens[at] >= vocab.ref0 && tokens[at] < vocab.value0;
      EXPECT_EQ(reference, (at >= 48) || (at >= 25 && at < 40 && reference));
      ASSERT_EQ(targets[at] != kNoTarget, local || reference) << at;
      if (targets[at] == kNoTarget) continue;
      ++labels;
      EXPECT_EQ(targets[at], Solve(p, {tokens, static_cast<size_t>(at + 1)}));
    }
    EXPECT_EQ(labels, 22);
  }
}

TEST(TwoHop, SameSeedSameDataOtherSeedOtherData) {
  const auto a = MakeTwoHop("{}"), b = MakeTwoHop("{\"seed\": 0}");
  const auto c = MakeTwoHop("{\"seed\": 1}");
  EXPECT_EQ(a->TrainBatch(5, 8).tokens, b->TrainBatch(5, 8).tokens);
  EXPECT_NE(a->TrainBatch(5, 8).tokens, a->TrainBatch(6, 8).tokens);
  EXPECT_NE(a->TrainBatch(5, 8).tokens, c->TrainBatch(5, 8).tokens);
  EXPECT_EQ(a->Fingerprint(), b->Fingerprint());
  EXPECT_NE(a->Fingerprint(), c->Fingerprint());
}

TEST(TwoHop, GoldenSamples) {
  const auto task = MakeTwoHop("");
  std::string all;
  for (int64_t i = 0; i < 4; ++i) all += task->Show(7, i, 0);
  all += task->Show(7, 0, 113);
  EXPECT_EQ(HexHash(all), "8b16517751e923a3");
}

TEST(TwoHop, OracleModelScoresOneAtEveryLength) {
  const TwoHopParams p;
  const auto task = MakeTwoHop("");
  for (const int64_t length : {0, 40, 57, 112, 448}) {
    const EvalResult result = task->Evaluate(Oracle(p), {.length = length,
                                                         .samples = 20,
                                                         .seed = 3,
                                                         .batch = 7,
                                                         .progress = {}});
    ASSERT_EQ(result.scores.size(), 5u);
    EXPECT_EQ(result.scores[0].key, "mean3");
    for (const Score& score : result.scores) {
      EXPECT_EQ(score.value, 1.0) << score.key << " at " << length;
      EXPECT_EQ(score.n, 20);
    }
    EXPECT_EQ(result.sample_jsonl.size(), 20u);
    EXPECT_EQ(Json::parse(result.sample_jsonl[0])["tokens"],
              length == 0 ? 56 : length);
  }
}

TEST(TwoHop, RandomModelScoresChance) {
  const TwoHopParams p;
  const TwoHopVocab vocab(p);
  PhiloxSequence draws(1, 1);
  const auto guess = FakeModel::Certain(
      p.vocab_size, [&](FakeModel::Prefix prefix) -> int32_t {
        return prefix.back() >= vocab.noise0
                   ? vocab.noise0 + static_cast<int32_t>(draws.Below(p.noise))
                   : vocab.value0 + static_cast<int32_t>(draws.Below(p.values));
      });
  const EvalResult result = MakeTwoHop("")->Evaluate(
      guess,
      {.length = 0, .samples = 1000, .seed = 0, .batch = 32, .progress = {}});
  for (const Score& score : result.scores) {
    EXPECT_DOUBLE_EQ(score.chance, 0.125);
    EXPECT_NEAR(score.value, score.chance, 5 * score.standard_error);
    EXPECT_GT(score.standard_error, 0);
    EXPECT_LT(score.standard_error, 0.01);
  }
}

TEST(TwoHop, ProgressCanStop) {
  int64_t calls = 0;
  EvalOptions options{.length = 0,
                      .samples = 100,
                      .seed = 0,
                      .batch = 10,
                      .progress = [&](int64_t done, int64_t total) {
                        EXPECT_EQ(total, 100);
                        EXPECT_EQ(done, 10 * ++calls);
                        return calls < 3;
                      }};
  const EvalResult result =
      MakeTwoHop("")->Evaluate(Oracle(TwoHopParams()), options);
  EXPECT_EQ(result.scores[0].n, 30);
}

// The recipe's table, in its distance convention w = window_keys - 1.
TEST(TwoHop, ReachMatchesRecipe) {
  const TwoHopParams p;
  struct Row {
    int64_t w;
    double link, root_query, link_query;
  };
  for (const Row& row :
       {Row{8, 0, 0, 0}, Row{16, .130, 0, 0}, Row{24, .532, 0, .371},
        Row{32, .898, 0, .898}, Row{40, 1, .301, 1}, Row{48, 1, .818, 1}}) {
    const auto reach = [&](TwoHopTag tag) {
      return TwoHopReach(p, tag, 56, row.w + 1);
    };
    EXPECT_NEAR(reach(TwoHopTag::kLink), row.link, .007) << row.w;
    EXPECT_NEAR(reach(TwoHopTag::kRootQuery), row.root_query, .007) << row.w;
    EXPECT_NEAR(reach(TwoHopTag::kLinkQuery), row.link_query, .007) << row.w;
    EXPECT_EQ(reach(TwoHopTag::kLocal), 1);
  }
  EXPECT_EQ(TwoHopReach(p, TwoHopTag::kLocal, 56, 3), 0);
}

TEST(TwoHop, ReachMatchesMonteCarlo) {
  TwoHopParams p;
  p.chains = 3;
  p.section = 11;
  p.gap = 9;
  p.names = 7;
  const auto task = MakeTwoHop(PrintFields(p).dump());
  const TwoHopVocab vocab(p);
  const int64_t length = task->train_length();
  const Batch batch = task->TrainBatch(0, 4000);
  for (const int64_t window : {10, 17, 25, 34, 45}) {
    std::map<TwoHopTag, std::pair<double, double>> seen;
    for (int64_t row = 0; row < batch.rows; ++row) {
      const int32_t* tokens = batch.tokens.data() + row * length;
      const auto place = [&](int32_t token) {
        return std::find(tokens, tokens + length, token) - tokens;
      };
      const auto definition = [&](int64_t at) {
        return place(tokens[at] - vocab.ref0 + vocab.def0) + 1;
      };
      for (int64_t at = 0; at < length; ++at) {
        if (tokens[at] < vocab.ref0 || tokens[at] >= vocab.value0) continue;
        const int64_t first = definition(at);
        bool reached = at - first < window;
        TwoHopTag tag =
            at < length - 6 ? TwoHopTag::kLink : TwoHopTag::kRootQuery;
        if (tokens[first] < vocab.value0) {
          tag = TwoHopTag::kLinkQuery;
          reached = reached && first - definition(first) < window;
        }
        seen[tag].first += reached;
        ++seen[tag].second;
      }
    }
    ASSERT_EQ(seen.size(), 3u);
    for (const auto& [tag, counts] : seen) {
      EXPECT_NEAR(TwoHopReach(p, tag, length, window),
                  counts.first / counts.second, .02)
          << window << " tag " << static_cast<int>(tag);
    }
  }
}

std::string ErrorOf(const std::function<void()>& call) {
  try {
    call();
  } catch (const UserError& error) {
    return error.what();
  }
  return "no error";
}

TEST(TwoHop, BadInputIsNamed) {
  const auto make = [](const std::string& json) {
    return ErrorOf([&] { MakeTwoHop(json); });
  };
  EXPECT_THAT(make("{\"chians\": 3}"), HasSubstr("\"chains\""));
  EXPECT_THAT(make("{\"chains\": -1}"), HasSubstr("from 1"));
  EXPECT_THAT(make("{\"chains\": 7}"), HasSubstr("\"names\""));
  EXPECT_THAT(make("{\"section\": 7}"), HasSubstr("from 8"));
  EXPECT_THAT(make("{\"gap\": 7}"), HasSubstr("from 8"));
  EXPECT_THAT(make("{\"vocab_size\": 39}"), HasSubstr("from 40"));
  EXPECT_THAT(make("[1]"), HasSubstr("JSON object"));
  EXPECT_THAT(make("{"), HasSubstr("two_hop"));
  const auto task = MakeTwoHop("");
  const auto evaluate = [&](int64_t length, int64_t samples) {
    return ErrorOf([&] {
      task->Evaluate(Oracle(TwoHopParams()), {.length = length,
                                              .samples = samples,
                                              .seed = 0,
                                              .batch = 8,
                                              .progress = {}});
    });
  };
  EXPECT_THAT(evaluate(39, 1), HasSubstr("least possible is 40"));
  EXPECT_THAT(evaluate(-5, 1), HasSubstr("least possible is 40"));
  EXPECT_THAT(evaluate(int64_t{1} << 60, 1), HasSubstr("too long"));
  EXPECT_THAT(evaluate(56, 0), HasSubstr("samples"));
  EXPECT_THAT(ErrorOf([&] { task->Show(0, 0, 12); }),
              HasSubstr("least possible is 40"));
  TwoHopParams small;
  small.vocab_size = 40;
  EXPECT_THAT(ErrorOf([&] { task->Evaluate(Oracle(small), {}); }),
              HasSubstr("48"));
}

}  // namespace
}  // namespace rattn
