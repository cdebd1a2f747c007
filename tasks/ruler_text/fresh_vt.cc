#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <set>
#include <utility>

#include "tasks/ruler_text/fresh.h"

namespace rattn {
namespace {

struct Chain {
  std::vector<std::string> names;
  std::string value;
  std::vector<double> depths;  // ascending, of each line
};

Chain DrawChain(size_t letters, std::set<std::string>* used,
                PhiloxSequence* random) {
  Chain chain;
  while (chain.names.size() < VtDrawer::kNames) {
    std::string name = FreshLetters(letters, 'A', random);
    if (used->insert(name).second) chain.names.push_back(std::move(name));
  }
  chain.value = std::to_string(10000 + random->Below(90000));
  for (size_t i = 0; i < chain.names.size(); ++i) {
    chain.depths.push_back(random->Uniform());
  }
  std::sort(chain.depths.begin(), chain.depths.end());
  return chain;
}

// Lines of noise with those of the chain at their depths.
std::string ChainText(const Chain& chain, uint64_t seed, int64_t lines) {
  std::string text;
  size_t next = 0;
  for (int64_t i = 0; i <= lines; ++i) {
    while (next < chain.names.size() &&
           static_cast<int64_t>(chain.depths[next] *
                                static_cast<double>(lines + 1)) <= i) {
      const std::string source =
          next == 0 ? chain.value : "the value of " + chain.names[next - 1];
      text += fmt::format("Let {} be {}.\n", chain.names[next], source);
      ++next;
    }
    if (i < lines) {
      text += FreshNoise(seed, i);
      text += '\n';
    }
  }
  return text;
}

constexpr std::array<std::string_view, 2> kQuestions = {
    "Which names stand for {}, directly or through another name?",
    "List every name whose value is {} in the end."};

class FreshVt : public FreshSample {
 public:
  explicit FreshVt(FreshContext context)
      : seed_(context.lines_seed),
        question_(kQuestions[context.random.Below(kQuestions.size())]) {
    std::set<std::string> used;
    // Names of other lengths cannot be confused with the chain's.
    example_ = DrawChain(4, &used, &context.random);
    chain_ = DrawChain(5, &used, &context.random);
  }

  RulerPrompt Render(int64_t units) const override {
    constexpr int64_t kExampleLines = 3;
    const std::string example =
        fmt::format("{}\n{} {}.\n\n", Task(example_, kExampleLines),
                    Prefix().substr(1), Join(example_.names, ", "));
    return {
        "Names get values in the text below, some through other names. "
        "First an example, then the text that counts.\n\n" +
            example + Task(chain_, units),
        Prefix(), chain_.names};
  }

 private:
  std::string Task(const Chain& chain, int64_t lines) const {
    return ChainText(chain, seed_, lines) +
           fmt::format(fmt::runtime(question_), chain.value);
  }
  static std::string Prefix() { return " The five names:"; }

  uint64_t seed_;
  std::string_view question_;
  Chain example_, chain_;
};

}  // namespace

std::unique_ptr<FreshSample> MakeFreshVt(FreshContext context) {
  return std::make_unique<FreshVt>(std::move(context));
}

}  // namespace rattn
