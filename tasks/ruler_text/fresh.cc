#include "tasks/ruler_text/fresh.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "models/error.h"
#include "tasks/python_text.h"

namespace rattn {
namespace {

// Renders of one sample, counted once each.
class Fitter {
 public:
  Fitter(const FreshSample& sample, int64_t room, TokenCounter* counter)
      : sample_(sample), room_(room), counter_(counter) {}

  int64_t Tokens(int64_t units) {
    return counter_->Count(sample_.Render(units).Text());
  }

  // The most units that fit, found from lines through what is known; nothing
  // if the least do not.
  std::optional<int64_t> Fit() {
    int64_t low = sample_.least();
    int64_t low_tokens = Tokens(low);
    if (low_tokens > room_) return std::nullopt;
    int64_t high = low, high_tokens = low_tokens;
    while (high_tokens <= room_) {
      low = high;
      low_tokens = high_tokens;
      if (low >= sample_.most()) return low;
      const double per_unit =
          std::max(0.05, static_cast<double>(low_tokens) / (low + 1));
      high = low + 1 + static_cast<int64_t>((room_ - low_tokens) / per_unit);
      high = std::min({high, 2 * low + 64, sample_.most()});
      high_tokens = Tokens(high);
    }
    for (int halve = 0; high - low > 1; halve ^= 1) {
      const double share = static_cast<double>(room_ - low_tokens) /
                           static_cast<double>(high_tokens - low_tokens);
      int64_t middle = halve ? (low + high) / 2
                             : low + static_cast<int64_t>(share * (high - low));
      middle = std::clamp(middle, low + 1, high - 1);
      const int64_t tokens = Tokens(middle);
      if (tokens <= room_) {
        low = middle;
        low_tokens = tokens;
      } else {
        high = middle;
        high_tokens = tokens;
      }
    }
    return low;
  }

 private:
  const FreshSample& sample_;
  int64_t room_;
  TokenCounter* counter_;
};

std::unique_ptr<FreshSample> MakeSample(FreshContext context) {
  switch (context.task.family) {
    case RulerFamily::kNiah:
      return MakeFreshNiah(std::move(context));
    case RulerFamily::kVt:
      return MakeFreshVt(std::move(context));
    case RulerFamily::kCwe:
      return MakeFreshCwe(std::move(context));
    case RulerFamily::kFwe:
      return MakeFreshFwe(std::move(context));
    default:
      return MakeFreshQa(std::move(context));
  }
}

// Tasks of one seed share no stream.
uint64_t TaskSeed(uint64_t seed, std::string_view task) {
  uint64_t hash = 0xcbf29ce484222325u;
  for (const char c : task) {
    hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
  }
  return seed * 0x9e3779b97f4a7c15u ^ hash;
}

class Maker {
 public:
  Maker(const RulerTextTask& task, const RulerRequest& request,
        RulerSources* sources, TokenCounter* counter)
      : task_(task),
        request_(request),
        sources_(sources),
        counter_(counter),
        budget_(FreshBudget(task.family)),
        // A wrapper stands in every prompt and is counted by itself.
        wrapper_tokens_(request.wrapper == RulerRequest().wrapper
                            ? 0
                            : counter->Count(request.wrapper)),
        room_(request.length - budget_ - wrapper_tokens_) {}

  std::vector<RulerTextSample> Run() {
    std::vector<RulerTextSample> samples;
    for (int64_t i = 0; i < request_.samples; ++i) samples.push_back(Make(i));
    return samples;
  }

 private:
  std::unique_ptr<FreshSample> Draw(int64_t index) const {
    const uint64_t seed = TaskSeed(request_.seed, task_.name);
    return MakeSample({task_, room_, sources_, counter_,
                       TaskStream(seed, Purpose::kEval, index),
                       TaskStream(seed + 1, Purpose::kEval, index)()});
  }

  RulerTextSample Make(int64_t index) const {
    const std::unique_ptr<FreshSample> drawn = Draw(index);
    const std::optional<int64_t> units = Fitter(*drawn, room_, counter_).Fit();
    if (!units) ThrowTooShort(task_, request_, Least());
    RulerPrompt prompt = drawn->Render(*units);
    prompt.body = ReplaceAll(request_.wrapper, "{task_template}", prompt.body);
    const int64_t tokens = counter_->Count(prompt.Text());
    RulerTextSample sample =
        ToSample(task_, std::move(prompt), index, budget_, counter_);
    sample.stored_index = index;
    sample.length = tokens + budget_;
    sample.tries = {tokens};
    return sample;
  }

  int64_t Least() const {
    int64_t least = 0;
    for (int64_t i = 0; i < request_.samples; ++i) {
      const std::unique_ptr<FreshSample> drawn = Draw(i);
      least = std::max(least,
                       counter_->Count(drawn->Render(drawn->least()).Text()));
    }
    return least + budget_ + wrapper_tokens_;
  }

  const RulerTextTask& task_;
  const RulerRequest& request_;
  RulerSources* sources_;
  TokenCounter* counter_;
  int64_t budget_;
  int64_t wrapper_tokens_;
  int64_t room_;
};

constexpr std::array<std::string_view, 12> kNoise = {
    "A kettle stood on the stove.",       "Rain fell on the roof all evening.",
    "The cat slept under the table.",     "Somebody had left the gate open.",
    "Two boats lay in the harbour.",      "The road went past the mill.",
    "A clock ticked in the hall.",        "Nobody came to the door.",
    "The wind turned to the north.",      "Bread was cooling by the window.",
    "Children played behind the school.", "The lamp went out before midnight."};

}  // namespace

std::string_view FreshNoise(uint64_t seed, int64_t index) {
  return kNoise[Philox(seed, 1).Bits(index) % kNoise.size()];
}

std::string FreshLetters(size_t count, char first, PhiloxSequence* random) {
  std::string letters;
  for (size_t i = 0; i < count; ++i) {
    letters += static_cast<char>(first + random->Below(26));
  }
  return letters;
}

int64_t FreshBudget(RulerFamily family) {
  switch (family) {
    case RulerFamily::kNiah:
      return 128;
    case RulerFamily::kVt:
      return 48;
    case RulerFamily::kCwe:
      return 120;
    case RulerFamily::kFwe:
      return 50;
    default:
      return 32;
  }
}

std::vector<RulerTextSample> MakeFreshSamples(const RulerTextTask& task,
                                              const RulerRequest& request,
                                              RulerSources* sources,
                                              TokenCounter* counter) {
  return WithRightCounts(
      counter, [&] { return Maker(task, request, sources, counter).Run(); });
}

}  // namespace rattn
