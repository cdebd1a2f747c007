#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <utility>

#include "tasks/ruler_text/fresh.h"

namespace rattn {
namespace {

// Of a question and the documents it needs, so that a prompt of 512 tokens can
// hold them; 81 % of HotpotQA's are shorter.
constexpr size_t kMostBytes = 1200;

size_t BytesOf(const QaSet& set, const QaQuestion& question) {
  size_t bytes = question.query.size();
  for (const size_t document : question.needed) {
    bytes += set.documents[document].size();
  }
  return bytes;
}

// A short question, or any where hardly one is short: free of length and
// tokenizer.
const QaQuestion& DrawQuestion(const QaSet& set, PhiloxSequence* random) {
  constexpr int kTries = 100;
  const auto draw = [&]() -> const QaQuestion& {
    return set.questions[random->Below(set.questions.size())];
  };
  for (int i = 0; i < kTries; ++i) {
    const QaQuestion& question = draw();
    if (BytesOf(set, question) <= kMostBytes) return question;
  }
  return draw();
}

std::vector<size_t> Distinct(std::vector<size_t> numbers) {
  std::sort(numbers.begin(), numbers.end());
  numbers.erase(std::unique(numbers.begin(), numbers.end()), numbers.end());
  return numbers;
}

bool Contains(const std::vector<size_t>& sorted, size_t number) {
  return std::binary_search(sorted.begin(), sorted.end(), number);
}

class FreshQa : public FreshSample {
 public:
  explicit FreshQa(FreshContext context)
      : set_(context.task.name == "qa_1" ? context.sources->squad()
                                         : context.sources->hotpot()),
        question_(DrawQuestion(set_, &context.random)),
        seed_(context.lines_seed) {
    needed_ = Distinct(question_.needed);
    // The question's own other documents mislead most: they come first.
    std::vector<size_t> candidates = Distinct(question_.gold);
    std::erase_if(candidates,
                  [this](size_t i) { return Contains(needed_, i); });
    Shuffle(&candidates, &context.random);
    const std::vector<size_t> gold = Distinct(question_.gold);
    std::vector<size_t> others;
    for (size_t i = 0; i < set_.documents.size(); ++i) {
      if (!Contains(gold, i)) others.push_back(i);
    }
    Shuffle(&others, &context.random);
    candidates.insert(candidates.end(), others.begin(), others.end());
    Choose(candidates, context);
  }

  int64_t least() const override { return 0; }
  int64_t most() const override { return static_cast<int64_t>(others_.size()); }

  RulerPrompt Render(int64_t units) const override {
    // Every document has a random place of its own, whatever else is there.
    std::vector<std::pair<uint64_t, size_t>> order;
    const Philox places(seed_, 4);
    for (const size_t document : needed_) {
      order.emplace_back(places.Bits(order.size()), document);
    }
    for (int64_t i = 0; i < units; ++i) {
      order.emplace_back(places.Bits(order.size()), others_[i]);
    }
    std::sort(order.begin(), order.end());
    std::string text;
    for (size_t i = 0; i < order.size(); ++i) {
      text += Entry(i, order[i].second);
    }
    return {fmt::format("Some documents, then a question on them. Answer in "
                        "as few words as possible.\n\n{}Question: {}",
                        text, question_.query),
            " Short answer:", question_.answers};
  }

 private:
  std::string Entry(size_t place, size_t document) const {
    return fmt::format("[{}] {}\n\n", place + 1, set_.documents[document]);
  }

  // As many as fit by the sum of their tokens, shorter ones for what is left;
  // from the start again when all are used.
  void Choose(const std::vector<size_t>& candidates,
              const FreshContext& context) {
    constexpr int64_t kMostSkipped = 200;
    int64_t left = context.room - context.counter->Count(Render(0).Text());
    int64_t skipped = 0;
    for (size_t i = 0; !candidates.empty() && skipped < kMostSkipped; ++i) {
      const size_t document = candidates[i % candidates.size()];
      const int64_t tokens = context.counter->Count(
          Entry(needed_.size() + others_.size(), document));
      if (tokens <= left) {
        left -= tokens;
        others_.push_back(document);
      } else {
        ++skipped;
      }
    }
  }

  const QaSet& set_;
  const QaQuestion& question_;
  uint64_t seed_;
  std::vector<size_t> needed_, others_;
};

}  // namespace

std::unique_ptr<FreshSample> MakeFreshQa(FreshContext context) {
  return std::make_unique<FreshQa>(std::move(context));
}

}  // namespace rattn
