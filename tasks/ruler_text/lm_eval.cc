#include "tasks/ruler_text/lm_eval.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "models/error.h"
#include "tasks/python_text.h"
#include "tasks/ruler_text/lm_eval_draws.h"

namespace rattn {
namespace {

constexpr uint64_t kFreshSeed = 42;
constexpr uint32_t kNumpySeed = 1234;
constexpr int64_t kShortLength = 4096;
constexpr int64_t kExampleLength = 500;
constexpr int64_t kExampleStep = 5;
constexpr int64_t kEndless = int64_t{1} << 40;

struct Plan {
  int64_t step = 0;
  int64_t most = kEndless;   // units that there are
  int64_t extra = 0;         // tokens added to every count
  int64_t least = 1;         // units that a sample goes down to
  bool hangs = false;        // on samples that never fit; else skips them
  bool most_is_kept = true;  // reaching `most` ends the search there
};

class Generator {
 public:
  Generator(const RulerTextTask& task, const RulerRequest& request,
            RulerSources* sources, TokenCounter* counter)
      : task_(task),
        request_(request),
        sources_(sources),
        counter_(counter),
        streams_(kFreshSeed,
                 request.seed == RulerRequest().seed ? 0 : request.seed,
                 kNumpySeed),
        text_(sources->templates().Of(task.family)) {}

  std::vector<RulerTextSample> Run() {
    switch (task_.family) {
      case RulerFamily::kNiah:
        return RunNiah();
      case RulerFamily::kVt:
        return RunVt();
      case RulerFamily::kCwe:
        return RunCwe();
      case RulerFamily::kFwe:
        return RunFwe();
      default:
        return RunQa();
    }
  }

 private:
  int64_t Tokens(const std::string& text) const {
    return counter_->Count(text);
  }
  bool Fits(int64_t tokens, const Plan& plan) const {
    return tokens + text_.tokens_to_generate + plan.extra <= request_.length;
  }

  // Steps up until a prompt with its answer does not fit; back by one step
  // from there.
  template <typename TextWithAnswer>
  int64_t SearchUnits(PromptDrawer* drawer, const Plan& plan, int64_t length,
                      int64_t budget, const TextWithAnswer& text) {
    int64_t units = plan.step;
    int64_t tokens = 0;
    while (tokens + budget + plan.extra < length) {
      const std::optional<RulerPrompt> prompt = drawer->Draw(units, 0);
      if (!prompt) {
        throw UserError(fmt::format(
            "lm-eval's generator fails on this draw of {}: take another length",
            task_.name));
      }
      tokens = Tokens(text(*prompt));
      if (tokens + budget + plan.extra > length) return units - plan.step;
      if (plan.most_is_kept && units > plan.most) return plan.most;
      units += plan.step;
      if (!plan.most_is_kept && units > plan.most) return plan.most;
    }
    return units;
  }

  // Steps down until the prompt fits. Where the port never ends, this does.
  std::optional<RulerPrompt> DrawFitting(PromptDrawer* drawer, const Plan& plan,
                                         int64_t units, int64_t index,
                                         int64_t* tokens) {
    constexpr int kHopelessTries = 64;
    for (int hopeless = 0; hopeless < kHopelessTries;) {
      std::optional<RulerPrompt> prompt = drawer->Draw(units, index);
      if (prompt) {
        *tokens = Tokens(prompt->body);
        least_seen_ = std::min(least_seen_, *tokens + plan.extra);
        if (Fits(*tokens, plan)) return prompt;
      }
      if (units > plan.least) {
        units = plan.hangs ? units - plan.step
                           : std::max(plan.least, units - plan.step);
      } else if (!plan.hangs) {
        return std::nullopt;
      } else {
        ++hopeless;
      }
    }
    ThrowShort();
  }

  [[noreturn]] void ThrowShort() const {
    ThrowTooShort(task_, request_, least_seen_ + text_.tokens_to_generate);
  }

  void Add(RulerPrompt prompt, int64_t index, int64_t tokens,
           std::vector<RulerTextSample>* samples) {
    RulerTextSample sample =
        PlainSample(std::move(prompt), index, text_.tokens_to_generate);
    sample.length = tokens + text_.tokens_to_generate;
    sample.tries = {tokens};
    samples->push_back(std::move(sample));
  }

  // Samples of a drawer whose body is what is counted and sent.
  std::vector<RulerTextSample> Samples(PromptDrawer* drawer, const Plan& plan,
                                       int64_t units) {
    std::vector<RulerTextSample> samples;
    for (int64_t i = 0; i < request_.samples; ++i) {
      int64_t tokens = 0;
      std::optional<RulerPrompt> prompt =
          DrawFitting(drawer, plan, std::max<int64_t>(1, units), i, &tokens);
      if (prompt) Add(std::move(*prompt), i, tokens, &samples);
    }
    if (samples.empty()) ThrowShort();
    return samples;
  }

  std::vector<RulerTextSample> RunNiah();
  std::vector<RulerTextSample> RunVt();
  std::vector<RulerTextSample> RunCwe();
  std::vector<RulerTextSample> RunFwe();
  std::vector<RulerTextSample> RunQa();

  const RulerTextTask& task_;
  const RulerRequest& request_;
  RulerSources* sources_;
  TokenCounter* counter_;
  RulerStreams streams_;
  RulerTemplate text_;
  int64_t least_seen_ = kEndless;
};

std::vector<RulerTextSample> Generator::RunNiah() {
  const bool essay = task_.haystack == HaystackKind::kEssay;
  Plan plan;
  plan.step = essay ? 500 : request_.length < kShortLength ? 5 : 25;
  if (essay) plan.most = sources_->haystack().words();
  const auto drawer = MakeNiahDrawer(task_, text_, {.repeat_haystack = false},
                                     sources_, &streams_);
  const int64_t units = SearchUnits(
      drawer.get(), plan, request_.length, text_.tokens_to_generate,
      [](const RulerPrompt& p) { return p.body + Join(p.outputs, " "); });
  return Samples(drawer.get(), plan, units);
}

std::vector<RulerTextSample> Generator::RunQa() {
  Plan plan;
  plan.step = plan.least = 10;
  plan.hangs = true;
  plan.most_is_kept = false;
  plan.most = static_cast<int64_t>(
      (task_.name == "qa_1" ? sources_->squad() : sources_->hotpot())
          .documents.size());
  const auto drawer = MakeQaDrawer(task_, text_, {.repeat_haystack = false},
                                   sources_, &streams_);
  const int64_t units =
      SearchUnits(drawer.get(), plan, request_.length, text_.tokens_to_generate,
                  [](const RulerPrompt& p) {
                    return p.body + " " + PythonRepr(p.outputs);
                  });
  return Samples(drawer.get(), plan, units);
}

std::vector<RulerTextSample> Generator::RunCwe() {
  LmEvalCweDrawer drawer(text_, request_.length, sources_, &streams_);
  Plan plan;
  plan.step = 10;
  plan.most = drawer.words();
  plan.most_is_kept = false;
  const int64_t units =
      SearchUnits(&drawer, plan, request_.length, text_.tokens_to_generate,
                  [&](const RulerPrompt& p) {
                    return drawer.example() + "\n" + p.Text() + " " +
                           NumberedList(p.outputs);
                  });
  // The port counts with the prefix and sends it after a blank line.
  std::vector<RulerTextSample> samples;
  for (int64_t i = 0; i < request_.samples; ++i) {
    for (int64_t used = std::max<int64_t>(1, units);;
         used = std::max<int64_t>(1, used - plan.step)) {
      std::optional<RulerPrompt> prompt = drawer.Draw(used, i);
      const int64_t tokens = Tokens(prompt->Text());
      least_seen_ = std::min(least_seen_, tokens);
      if (Fits(tokens, plan)) {
        prompt->prefix = fmt::format("\n\n{}", PythonStrip(prompt->prefix));
        Add(std::move(*prompt), i, tokens, &samples);
        break;
      }
      if (used == 1) break;
    }
  }
  if (samples.empty()) ThrowShort();
  return samples;
}

std::vector<RulerTextSample> Generator::RunVt() {
  const std::string& noise = sources_->templates().noise_unit;
  text_.prefix = ReplaceAll(text_.prefix, "assigned", "assgined");
  const auto answered = [](const RulerPrompt& p) {
    return p.Text() + " " + PythonRepr(p.outputs);
  };
  LmEvalVtDrawer example(text_, noise, /*letters=*/3, &streams_);
  Plan plan;
  plan.step = plan.least = kExampleStep;
  int64_t units = SearchUnits(&example, plan, kExampleLength,
                              text_.tokens_to_generate, answered);
  RulerPrompt shown;
  for (;; units -= kExampleStep) {
    std::optional<RulerPrompt> prompt = example.Draw(units, 0);
    if (prompt) shown = std::move(*prompt);
    if (units <= kExampleStep ||
        (prompt &&
         Tokens(shown.Text()) + text_.tokens_to_generate <= kExampleLength)) {
      break;
    }
  }
  const std::string text =
      shown.Text() + " " + Join(shown.outputs, " ") + "\n\n";
  LmEvalVtDrawer drawer(text_, noise, /*letters=*/5, &streams_);
  plan.step = plan.least = 10;
  plan.extra = Tokens(text);
  units = SearchUnits(&drawer, plan, request_.length, text_.tokens_to_generate,
                      answered);
  std::vector<RulerTextSample> samples;
  for (int64_t i = 0; i < request_.samples; ++i) {
    std::optional<RulerPrompt> prompt;
    int64_t tokens = 0;
    for (int64_t used = units;; used -= plan.step) {
      prompt = drawer.Draw(used, i);
      if (prompt) tokens = Tokens(prompt->Text());
      if ((prompt && Fits(tokens, plan)) || used <= plan.step) break;
    }
    if (!prompt) continue;
    prompt->body =
        drawer.FreshExample(text, shown.outputs) + "\n\n" + prompt->body;
    prompt->prefix = fmt::format(" {}", PythonStrip(prompt->prefix));
    Add(std::move(*prompt), i, tokens + plan.extra, &samples);
  }
  if (samples.empty() || samples.front().length > request_.length) {
    least_seen_ = samples.empty()
                      ? request_.length
                      : samples.front().length - text_.tokens_to_generate;
    ThrowShort();
  }
  return samples;
}

std::vector<RulerTextSample> Generator::RunFwe() {
  const int64_t room = request_.length;
  const int64_t step = room / 32;
  const int64_t size = room / 50;
  if (size < 5) ThrowTooShort(task_, request_, 5 * 50);
  const auto draw = [&](const FweVocabulary& vocabulary, int64_t words) {
    return RulerPrompt{
        FormatTemplate(text_.text, {{"context", vocabulary.Text(words)}}),
        FormatTemplate(text_.prefix, {}), vocabulary.Answers()};
  };
  int64_t words = room / 6;
  {
    const FweVocabulary first(size, &streams_);
    while (Tokens(draw(first, words).Text()) < room) words += step;
    words -= step;
  }
  std::vector<RulerTextSample> samples;
  for (int64_t i = 0; i < request_.samples; ++i) {
    const FweVocabulary vocabulary(size, &streams_);
    int64_t used = words;
    while (used > 0 && Tokens(draw(vocabulary, used).Text()) > room) {
      used -= step;
    }
    RulerPrompt prompt = draw(vocabulary, used);
    const int64_t tokens = Tokens(prompt.Text());
    if (used <= 0) ThrowTooShort(task_, request_, tokens + step);
    prompt.body = PythonStrip(prompt.body);
    Add(std::move(prompt), i, tokens, &samples);
  }
  return samples;
}

}  // namespace

std::vector<RulerTextSample> MakeLmEvalSamples(const RulerTextTask& task,
                                               const RulerRequest& request,
                                               RulerSources* sources,
                                               TokenCounter* counter) {
  if (request.wrapper != RulerRequest().wrapper) {
    throw UserError("lm-eval's port of RULER knows no chat wrapper");
  }
  CheckQuestions(task, request, sources);
  return WithRightCounts(counter, [&] {
    return Generator(task, request, sources, counter).Run();
  });
}

}  // namespace rattn
