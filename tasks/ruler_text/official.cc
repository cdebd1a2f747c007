#include "tasks/ruler_text/official.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <utility>

#include "models/error.h"
#include "tasks/python_text.h"

namespace rattn {
namespace {

constexpr int64_t kShortLength = 4096;
constexpr int64_t kExampleLength = 500;
constexpr int64_t kCweProbeWords = 4096;
// Attempts at the smallest size before it counts as hopeless; the original
// goes on for ever.
constexpr int kHopelessTries = 64;

struct Plan {
  int64_t step = 0;    // units
  int64_t length = 0;  // tokens, budget included
  int64_t budget = 0;
  int64_t extra = 0;  // tokens that the search adds to every probe
  int64_t probe = 0;  // units that the first estimate is made from
  bool is_cwe = false;
};

RulerPrompt MustDraw(PromptDrawer* drawer, int64_t units) {
  std::optional<RulerPrompt> prompt = drawer->Draw(units, 0);
  if (!prompt) {
    throw UserError(fmt::format(
        "the original generator fails on this draw of {} units of haystack: "
        "take another length or seed",
        units));
  }
  return std::move(*prompt);
}

// The upper end of the search: three times what an average unit allows; lists
// of words twice, by Python's float floor division.
int64_t HighestUnits(const Plan& plan, int64_t probe_tokens) {
  const double per_unit =
      static_cast<double>(probe_tokens) / static_cast<double>(plan.probe);
  const double length = static_cast<double>(plan.length);
  if (!plan.is_cwe) return static_cast<int64_t>(length / per_unit * 3);
  const double floor =
      std::floor((length - std::fmod(length, per_unit)) / per_unit + 0.5);
  return static_cast<int64_t>(floor) * 2;
}

int64_t SearchUnits(PromptDrawer* drawer, const Plan& plan,
                    TokenCounter* counter) {
  const int64_t probe_tokens =
      std::max<int64_t>(1, counter->Count(MustDraw(drawer, plan.probe).Text()));
  int64_t low = plan.step;
  int64_t high = std::max(HighestUnits(plan, probe_tokens), 2 * plan.step);
  int64_t best = plan.step;
  while (low <= high) {
    const int64_t middle = (low + high) / 2;
    const int64_t tokens = counter->Count(MustDraw(drawer, middle).Text()) +
                           plan.extra + plan.budget;
    if (tokens <= plan.length) {
      best = middle;
      low = middle + 1;
    } else {
      high = middle - 1;
    }
  }
  return best;
}

struct Fitted {
  RulerPrompt prompt;
  std::vector<int64_t> tries;
  bool fits = false;
};

// Redraws with one step less of haystack until the prompt fits, if it ever
// does.
Fitted DrawFitting(PromptDrawer* drawer, const Plan& plan, int64_t units,
                   int64_t index, TokenCounter* counter) {
  Fitted fitted;
  for (int hopeless = 0; hopeless < kHopelessTries;) {
    std::optional<RulerPrompt> prompt = drawer->Sample(units, index);
    if (prompt) {
      fitted.tries.push_back(counter->Count(prompt->Text()));
      if (fitted.tries.back() + plan.budget <= plan.length) {
        fitted.prompt = std::move(*prompt);
        fitted.fits = true;
        return fitted;
      }
    }
    if (units > plan.step) {
      units -= plan.step;
    } else {
      ++hopeless;
    }
  }
  return fitted;
}

// The least length that takes every sample with one step of haystack, and the
// sample that did not fit with what was tried: documents are cut to fewer than
// a question needs, where no draw succeeds.
int64_t LeastLength(PromptDrawer* drawer, const Plan& plan,
                    const Fitted& misfit, int64_t samples,
                    TokenCounter* counter) {
  int64_t least = 0;
  if (!misfit.tries.empty()) {
    least = *std::min_element(misfit.tries.begin(), misfit.tries.end());
  }
  for (int64_t i = 0; i < samples; ++i) {
    if (const auto prompt = drawer->Sample(plan.step, i)) {
      least = std::max(least, counter->Count(prompt->Text()));
    }
  }
  return least + plan.budget;
}

RulerTemplate Wrapped(const RulerTemplate& base, const std::string& wrapper) {
  RulerTemplate result = base;
  result.text = ReplaceAll(wrapper, "{task_template}", base.text);
  return result;
}

class Generator {
 public:
  Generator(const RulerTextTask& task, const RulerRequest& request,
            RulerSources* sources, TokenCounter* counter)
      : task_(task),
        request_(request),
        sources_(sources),
        counter_(counter),
        streams_(request.seed),
        base_(sources->templates().Of(task.family)),
        wrapped_(Wrapped(base_, request.wrapper)) {
    plan_.length = request.length;
    plan_.budget = base_.tokens_to_generate;
  }

  std::vector<RulerTextSample> Run() {
    if (task_.family == RulerFamily::kFwe) return RunFwe();
    std::unique_ptr<PromptDrawer> drawer = Prepare();
    plan_.probe = plan_.is_cwe ? kCweProbeWords : plan_.step;
    const int64_t units = SearchUnits(drawer.get(), plan_, counter_);
    std::vector<RulerTextSample> samples;
    for (int64_t i = 0; i < request_.samples; ++i) {
      Fitted fitted = DrawFitting(drawer.get(), plan_, units, i, counter_);
      if (!fitted.fits) {
        ThrowTooShort(task_, request_,
                      LeastLength(drawer.get(), plan_, fitted, request_.samples,
                                  counter_));
      }
      samples.push_back(
          ToSample(task_, std::move(fitted.prompt), i, plan_.budget, counter_));
      samples.back().tries = std::move(fitted.tries);
      samples.back().length = samples.back().tries.back() + plan_.budget;
    }
    return samples;
  }

 private:
  std::unique_ptr<PromptDrawer> Prepare() {
    const bool is_short = request_.length < kShortLength;
    switch (task_.family) {
      case RulerFamily::kNiah:
        plan_.step = task_.haystack == HaystackKind::kEssay ? 500
                     : is_short                             ? 5
                                                            : 25;
        return MakeNiahDrawer(task_, wrapped_, {}, sources_, &streams_);
      case RulerFamily::kVt:
        plan_.step = is_short ? 5 : 10;
        return PrepareVt();
      case RulerFamily::kCwe:
        plan_.step = 10;
        plan_.is_cwe = true;
        return MakeCweDrawer(wrapped_, request_.length, sources_, &streams_);
      default:
        plan_.step = 10;
        return MakeQaDrawer(task_, wrapped_, {}, sources_, &streams_);
    }
  }

  std::unique_ptr<PromptDrawer> PrepareVt() {
    const std::string& noise = sources_->templates().noise_unit;
    VtDrawer example(base_, noise, /*is_example=*/true, &streams_);
    const Plan plan{.step = 5, .length = kExampleLength, .probe = 5};
    const int64_t units = SearchUnits(&example, plan, counter_);
    const Fitted fitted = DrawFitting(&example, plan, units, 0, counter_);
    if (!fitted.fits) {
      throw UserError(
          fmt::format("vt: no worked example fits {} tokens of this tokenizer",
                      kExampleLength));
    }
    const std::string text =
        fitted.prompt.Text() + ' ' + Join(fitted.prompt.outputs, " ") + '\n';
    plan_.extra = counter_->Count(text);
    auto drawer = std::make_unique<VtDrawer>(wrapped_, noise,
                                             /*is_example=*/false, &streams_);
    drawer->set_opening(FirstCodePoints(base_.text, 20));
    drawer->set_example(text);
    return drawer;
  }

  // Frequent words step linearly and measure without the budget.
  std::vector<RulerTextSample> RunFwe();
  RulerPrompt FwePrompt(const FweVocabulary& vocabulary, int64_t words) const {
    return {
        FormatTemplate(wrapped_.text, {{"context", vocabulary.Text(words)}}),
        FormatTemplate(wrapped_.prefix, {}), vocabulary.Answers()};
  }

  const RulerTextTask& task_;
  const RulerRequest& request_;
  RulerSources* sources_;
  TokenCounter* counter_;
  RulerStreams streams_;
  RulerTemplate base_, wrapped_;
  Plan plan_;
};

std::vector<RulerTextSample> Generator::RunFwe() {
  const int64_t room = request_.length - plan_.budget;
  const int64_t step = room / 32;
  const int64_t size = room / 50;
  const auto tokens = [&](const FweVocabulary& vocabulary, int64_t words) {
    return counter_->Count(FwePrompt(vocabulary, words).Text());
  };
  // Below five entries three answers may not occur at all.
  if (size < 5) ThrowTooShort(task_, request_, 5 * 50 + plan_.budget);
  int64_t words = room / 6;
  {
    const FweVocabulary first(size, &streams_);
    while (tokens(first, words) < room) words += step;
    words -= step;
  }
  std::vector<RulerTextSample> samples;
  for (int64_t i = 0; i < request_.samples; ++i) {
    const FweVocabulary vocabulary(size, &streams_);
    int64_t used = words;
    std::vector<int64_t> tries = {tokens(vocabulary, used)};
    while (tries.back() > room && used > 0) {
      used -= step;
      tries.push_back(tokens(vocabulary, used));
    }
    if (used <= 0) {
      ThrowTooShort(task_, request_, tries.back() + plan_.budget + step);
    }
    // The original draws and counts what fits once more.
    tries.push_back(tries.back());
    samples.push_back(ToSample(task_, FwePrompt(vocabulary, used), i,
                               plan_.budget, counter_));
    samples.back().length = tries.back() + plan_.budget;
    samples.back().tries = std::move(tries);
  }
  return samples;
}

}  // namespace

void ThrowTooShort(const RulerTextTask& task, const RulerRequest& request,
                   int64_t least) {
  throw UserError(fmt::format(
      "{} does not fit {} tokens with this tokenizer: the least possible "
      "length is {} (or leave the task out, or take the mode fresh)",
      task.name, request.length, std::max(least, request.length + 1)));
}

void CheckQuestions(const RulerTextTask& task, const RulerRequest& request,
                    RulerSources* sources) {
  if (task.family != RulerFamily::kQa) return;
  const int64_t questions = QaQuestions(task, sources);
  if (request.samples <= questions) return;
  throw UserError(
      fmt::format("{} has {} questions, not {}: ask for fewer samples",
                  task.name, questions, request.samples));
}

RulerTextSample PlainSample(RulerPrompt prompt, int64_t index, int64_t budget) {
  RulerTextSample sample;
  sample.index = sample.stored_index = index;
  sample.tokens_to_generate = budget;
  sample.input = std::move(prompt.body);
  sample.answer_prefix = std::move(prompt.prefix);
  sample.outputs = std::move(prompt.outputs);
  return sample;
}

RulerTextSample ToSample(const RulerTextTask& task, RulerPrompt prompt,
                         int64_t index, int64_t budget, TokenCounter* counter) {
  RulerTextSample sample = PlainSample(std::move(prompt), index, budget);
  if (task.family == RulerFamily::kNiah) {
    const size_t at = sample.input.find(sample.outputs.front());
    const std::string_view before(sample.input.data(),
                                  std::min(at, sample.input.size()));
    sample.stored_index = CodePoints(before);
    sample.token_position_answer = counter->Count(before);
  }
  return sample;
}

std::vector<RulerTextSample> MakeOfficialSamples(const RulerTextTask& task,
                                                 const RulerRequest& request,
                                                 RulerSources* sources,
                                                 TokenCounter* counter) {
  CheckQuestions(task, request, sources);
  return WithRightCounts(counter, [&] {
    return Generator(task, request, sources, counter).Run();
  });
}

}  // namespace rattn
