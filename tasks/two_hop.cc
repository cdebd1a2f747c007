#include "tasks/two_hop.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <nlohmann/json.hpp>

#include "models/error.h"
#include "models/json_fields.h"
#include "tasks/params.h"
#include "tasks/sample.h"
#include "tasks/scoring.h"

namespace rattn {
namespace {

constexpr std::string_view kName = "two_hop";
constexpr std::array<std::string_view, 4> kTagNames = {"L", "link1", "Q1",
                                                       "Q2"};
constexpr int64_t kMaxCount = 1 << 16;

void CheckParams(const TwoHopParams& p) {
  const std::string origin(kName);
  CheckRange(origin, "chains", p.chains, 1, kMaxCount);
  CheckRange(origin, "names", p.names, 2 * p.chains, kMaxCount);
  CheckRange(origin, "values", p.values, p.chains, kMaxCount);
  CheckRange(origin, "noise", p.noise, 1, kMaxCount);
  CheckRange(origin, "local_labels", p.local_labels, 1, kMaxCount);
  CheckRange(origin, "local_distance", p.local_distance, 0, kMaxCount);
  CheckRange(origin, "gap", p.gap, p.local_labels + p.local_distance,
             kMaxLength);
  CheckRange(origin, "section", p.section, 2 * p.chains, kMaxLength);
  CheckRange(origin, "vocab_size", p.vocab_size, TwoHopVocab(p).used,
             8 * kMaxCount);
}

// Writes noise into `count` places at the end.
void AppendNoise(const TwoHopVocab& vocab, const TwoHopParams& p, int64_t count,
                 PhiloxSequence* random, Sample* sample) {
  for (int64_t i = 0; i < count; ++i) {
    sample->tokens.push_back(vocab.noise0 +
                             static_cast<int32_t>(random->Below(p.noise)));
  }
}

void AppendGap(const TwoHopVocab& vocab, const TwoHopParams& p,
               PhiloxSequence* random, Sample* sample) {
  AppendNoise(vocab, p, p.gap, random, sample);
  const int64_t end = sample->tokens.size();
  for (int64_t at = end - p.local_labels; at < end; ++at) {
    sample->labels.push_back({at, sample->tokens[at - p.local_distance],
                              static_cast<int32_t>(TwoHopTag::kLocal)});
  }
}

struct Chain {
  int64_t root = 0, link = 0;  // names
  int32_t value = 0;           // token
};

// Pairs of tokens at random places of a section of noise; returns the place of
// each pair's second token.
std::vector<int64_t> AppendSection(
    const TwoHopVocab& vocab, const TwoHopParams& p, int64_t room,
    const std::vector<std::array<int32_t, 2>>& pairs, PhiloxSequence* random,
    Sample* sample) {
  const int64_t base = sample->tokens.size();
  AppendNoise(vocab, p, room, random, sample);
  std::vector<int64_t> starts = DrawStarts(room, pairs.size(), 2, random);
  Shuffle(&starts, random);
  for (size_t i = 0; i < pairs.size(); ++i) {
    sample->tokens[base + starts[i]] = pairs[i][0];
    sample->tokens[base + starts[i] + 1] = pairs[i][1];
    starts[i] += base + 1;
  }
  return starts;
}

std::vector<Chain> DrawChains(const TwoHopVocab& vocab, const TwoHopParams& p,
                              PhiloxSequence* random) {
  const auto names = DrawDistinct(p.names, 2 * p.chains, random);
  const auto values = DrawDistinct(p.values, p.chains, random);
  std::vector<Chain> chains(p.chains);
  for (int64_t c = 0; c < p.chains; ++c) {
    chains[c] = {names[c], names[p.chains + c],
                 vocab.value0 + static_cast<int32_t>(values[c])};
  }
  return chains;
}

Sample MakeSample(const TwoHopParams& p, const TwoHopLayout& layout,
                  PhiloxSequence random) {
  const TwoHopVocab vocab(p);
  const std::vector<Chain> chains = DrawChains(vocab, p, &random);
  const auto def = [&](int64_t name) {
    return vocab.def0 + static_cast<int32_t>(name);
  };
  const auto ref = [&](int64_t name) {
    return vocab.ref0 + static_cast<int32_t>(name);
  };
  std::vector<std::array<int32_t, 2>> roots, links;
  for (const Chain& chain : chains) {
    roots.push_back({def(chain.root), chain.value});
    links.push_back({def(chain.link), ref(chain.root)});
  }
  Sample sample;
  AppendSection(vocab, p, layout.r, roots, &random, &sample);
  AppendGap(vocab, p, &random, &sample);
  const auto link_places =
      AppendSection(vocab, p, layout.k, links, &random, &sample);
  for (int64_t c = 0; c < p.chains; ++c) {
    sample.labels.push_back({link_places[c], chains[c].value,
                             static_cast<int32_t>(TwoHopTag::kLink)});
  }
  AppendGap(vocab, p, &random, &sample);
  for (const int64_t query :
       DrawDistinct(2 * p.chains, 2 * p.chains, &random)) {
    const Chain& chain = chains[query / 2];
    const bool root = query % 2 == 0;
    sample.labels.push_back(
        {static_cast<int64_t>(sample.tokens.size()), chain.value,
         static_cast<int32_t>(root ? TwoHopTag::kRootQuery
                                   : TwoHopTag::kLinkQuery)});
    sample.tokens.push_back(ref(root ? chain.root : chain.link));
  }
  return sample;
}

class TwoHopTask : public Task {
 public:
  explicit TwoHopTask(const TwoHopParams& params)
      : params_(params),
        train_length_(2 * (params.section + params.gap + params.chains)),
        train_layout_(MakeTwoHopLayout(params, train_length_)) {}

  std::string_view name() const override { return kName; }
  int64_t train_length() const override { return train_length_; }
  int64_t vocab_size() const override { return params_.vocab_size; }
  std::string Fingerprint() const override {
    return FingerprintOf(kName, PrintFields(params_));
  }

  Batch TrainBatch(int64_t step, int64_t rows) const override {
    std::vector<Sample> samples;
    for (int64_t row = 0; row < rows; ++row) {
      samples.push_back(MakeSample(
          params_, train_layout_,
          TaskStream(params_.seed, Purpose::kTrain, step * rows + row)));
    }
    return ToBatch(samples);
  }

  EvalResult Evaluate(const LanguageModel& model,
                      const EvalOptions& options) const override;
  std::string Show(uint64_t seed, int64_t index, int64_t length) const override;

 private:
  TwoHopLayout LayoutOf(int64_t length) const {
    return length == 0 ? train_layout_ : MakeTwoHopLayout(params_, length);
  }
  double Chance(TwoHopTag tag) const {
    return 1.0 / static_cast<double>(tag == TwoHopTag::kLocal ? params_.noise
                                                              : params_.values);
  }
  std::vector<Score> Scores(const std::array<Mean, 4>& by_tag,
                            const Mean& mean3) const;

  TwoHopParams params_;
  int64_t train_length_;
  TwoHopLayout train_layout_;
};

std::vector<Score> TwoHopTask::Scores(const std::array<Mean, 4>& by_tag,
                                      const Mean& mean3) const {
  const auto score = [](std::string key, const Mean& mean, double chance) {
    return Score{.key = std::move(key),
                 .value = mean.value(),
                 .standard_error = mean.standard_error(),
                 .chance = chance,
                 .unit = "fraction",
                 .n = mean.n()};
  };
  std::vector<Score> scores = {score(
      "mean3", mean3,
      (Chance(TwoHopTag::kLocal) + 2 * Chance(TwoHopTag::kRootQuery)) / 3)};
  for (size_t tag = 0; tag < by_tag.size(); ++tag) {
    scores.push_back(score(fmt::format("accuracy.{}", kTagNames[tag]),
                           by_tag[tag], Chance(static_cast<TwoHopTag>(tag))));
  }
  return scores;
}

EvalResult TwoHopTask::Evaluate(const LanguageModel& model,
                                const EvalOptions& options) const {
  CheckEvaluation(*this, model, options);
  const TwoHopLayout layout = LayoutOf(options.length);
  std::array<Mean, 4> by_tag;
  Mean mean3;
  EvalResult result;
  ForEachBatch(options.samples, options, [&](int64_t first, int64_t count) {
    std::vector<Sample> samples;
    std::vector<TokenAt> places;
    for (int64_t row = 0; row < count; ++row) {
      samples.push_back(
          MakeSample(params_, layout,
                     TaskStream(options.seed, Purpose::kEval, first + row)));
      for (const Label& label : samples.back().labels) {
        places.push_back({row, label.position});
      }
    }
    const auto predicted = LikeliestTokens(model, ToBatch(samples), places);
    size_t at = 0;
    for (int64_t row = 0; row < count; ++row) {
      std::array<Mean, 4> sample_tags;
      Json json = {{"index", first + row},
                   {"tokens", samples[row].tokens.size()}};
      for (const Label& label : samples[row].labels) {
        const bool right = predicted[at] == label.target;
        sample_tags[label.tag].Add(right);
        json["answers"].push_back({{"tag", kTagNames[label.tag]},
                                   {"position", label.position},
                                   {"target", label.target},
                                   {"predicted", predicted[at]}});
        ++at;
      }
      for (size_t tag = 0; tag < 4; ++tag) {
        by_tag[tag].Add(sample_tags[tag].value());
        json["accuracy"][kTagNames[tag]] = sample_tags[tag].value();
      }
      mean3.Add((sample_tags[0].value() + sample_tags[2].value() +
                 sample_tags[3].value()) /
                3);
      result.sample_jsonl.push_back(json.dump());
    }
  });
  result.scores = Scores(by_tag, mean3);
  return result;
}

std::string TwoHopTask::Show(uint64_t seed, int64_t index,
                             int64_t length) const {
  CheckIndex(kName, index);
  const Sample sample = MakeSample(params_, LayoutOf(length),
                                   TaskStream(seed, Purpose::kEval, index));
  const TwoHopVocab vocab(params_);
  std::vector<const Label*> at(sample.tokens.size(), nullptr);
  for (const Label& label : sample.labels) at[label.position] = &label;
  std::string text;
  for (size_t i = 0; i < sample.tokens.size(); ++i) {
    text += vocab.Word(sample.tokens[i]);
    if (at[i] != nullptr) {
      text += fmt::format("[{}->{}]", kTagNames[at[i]->tag],
                          vocab.Word(at[i]->target));
    }
    text += i % 16 == 15 || i + 1 == sample.tokens.size() ? '\n' : ' ';
  }
  return text;
}

// Probability of each start of one given statement (2 tokens of `room`, one of
// n non-overlapping ones in random order).
std::vector<double> StartDistribution(int64_t room, int64_t n) {
  const int64_t slots = room - n;
  const auto log_choose = [](int64_t a, int64_t b) {
    return std::lgamma(a + 1.0) - std::lgamma(b + 1.0) -
           std::lgamma(a - b + 1.0);
  };
  std::vector<double> p(room, 0.0);
  for (int64_t i = 0; i < n; ++i) {  // the i-th from the left, equally likely
    for (int64_t slot = i; slot <= slots - n + i; ++slot) {
      p[slot + i] += std::exp(log_choose(slot, i) +
                              log_choose(slots - 1 - slot, n - 1 - i) -
                              log_choose(slots, n)) /
                     static_cast<double>(n);
    }
  }
  return p;
}

}  // namespace

TwoHopVocab::TwoHopVocab(const TwoHopParams& p)
    : def0(0),
      ref0(static_cast<int32_t>(p.names)),
      value0(static_cast<int32_t>(2 * p.names)),
      noise0(static_cast<int32_t>(2 * p.names + p.values)),
      used(static_cast<int32_t>(2 * p.names + p.values + p.noise)) {}

std::string TwoHopVocab::Word(int32_t token) const {
  if (token < ref0) return fmt::format("def{}", token - def0);
  if (token < value0) return fmt::format("ref{}", token - ref0);
  if (token < noise0) return fmt::format("val{}", token - value0);
  if (token < used) return fmt::format(".{}", token - noise0);
  return fmt::format("unused{}", token);
}

TwoHopLayout MakeTwoHopLayout(const TwoHopParams& p, int64_t length) {
  const int64_t rest = 2 * (p.gap + p.chains);
  CheckLength(kName, length, rest + 4 * p.chains);
  const int64_t r = (length - rest) / 2;
  return {r, length - rest - r, p.gap, 2 * p.chains};
}

double TwoHopReach(const TwoHopParams& p, TwoHopTag tag, int64_t length,
                   int64_t window_keys) {
  const int64_t farthest = window_keys - 1;
  if (tag == TwoHopTag::kLocal) return farthest >= p.local_distance ? 1 : 0;
  const TwoHopLayout layout = MakeTwoHopLayout(p, length);
  const auto root = StartDistribution(layout.r, p.chains);
  const auto link = StartDistribution(layout.k, p.chains);
  const int64_t link_base = layout.r + layout.gap;
  const int64_t query_base = link_base + layout.k + layout.gap;
  // Chance that the root's value is no farther than `farthest` behind `place`.
  std::vector<double> up_to(root.size() + 1, 0.0);
  for (size_t i = 0; i < root.size(); ++i) up_to[i + 1] = up_to[i] + root[i];
  const auto root_reached = [&](int64_t place) {
    const int64_t first_start = std::clamp<int64_t>(
        place - farthest - 1, 0, static_cast<int64_t>(root.size()));
    return up_to.back() - up_to[first_start];
  };
  double reach = 0;
  const double per_query = 1.0 / static_cast<double>(layout.queries);
  if (tag == TwoHopTag::kRootQuery) {
    for (int64_t q = 0; q < layout.queries; ++q) {
      reach += per_query * root_reached(query_base + q);
    }
    return reach;
  }
  for (size_t start = 0; start < link.size(); ++start) {
    const int64_t place = link_base + static_cast<int64_t>(start) + 1;
    double query_reached = 1;
    if (tag == TwoHopTag::kLinkQuery) {
      const int64_t near = std::clamp<int64_t>(
          place + farthest - query_base + 1, 0, layout.queries);
      query_reached = per_query * static_cast<double>(near);
    }
    reach += link[start] * root_reached(place) * query_reached;
  }
  return reach;
}

std::unique_ptr<Task> MakeTwoHop(const std::string& params_json) {
  const auto params = ParseFields<TwoHopParams>(ParseParams(kName, params_json),
                                                std::string(kName));
  CheckParams(params);
  return std::make_unique<TwoHopTask>(params);
}

}  // namespace rattn
