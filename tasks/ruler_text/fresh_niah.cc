#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <set>
#include <utility>

#include "tasks/ruler_text/fresh.h"

namespace rattn {
namespace {

struct Wording {
  std::string_view opening, needle, question, prefix;
};

// Slots: 0 what is hidden ("code number"), 1 name or names, 2 value.
constexpr std::array<Wording, 3> kWordings = {
    Wording{"Somewhere in the text below, {0}s are given for certain names. "
            "Read closely; a question follows the text.",
            "The {0} of {1} is {2}.",
            "Which {0} does the text give for {1}? List every one.",
            " For {1} the text gives"},
    Wording{"Remember each {0} that the next pages mention. One of them will "
            "be asked for at the end.",
            "Note: {1} has the {0} {2}.", "State each {0} that belongs to {1}.",
            " What belongs to {1}:"},
    Wording{"The following pages hold some {0}s among other things. You will "
            "need them to answer the last line.",
            "To {1} belongs the {0} {2}.",
            "What {0} belongs to {1}? Name all that are mentioned.",
            " According to the pages, to {1} belongs"}};

std::string_view Hidden(NeedleKind kind) {
  return kind == NeedleKind::kUuids ? "serial code" : "secret number";
}

std::string Uuid(PhiloxSequence* random) {
  const uint64_t high = (*random)(), low = (*random)();
  return fmt::format("{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}", high >> 32,
                     high >> 16 & 0xffff, high & 0xfff,
                     (low >> 48 & 0x3fff) | 0x8000, low & 0xffffffffffff);
}

class FreshNiah : public FreshSample {
 public:
  explicit FreshNiah(FreshContext context)
      : context_(std::move(context)),
        wording_(kWordings[context_.random.Below(kWordings.size())]) {
    const RulerTextTask& task = context_.task;
    std::set<std::string> keys, values;
    while (static_cast<int64_t>(keys.size()) < task.keys) {
      keys.insert(Draw(task.key, &context_.random));
    }
    names_.assign(keys.begin(), keys.end());
    Shuffle(&names_, &context_.random);
    for (const std::string& name : names_) {
      for (int64_t v = 0; v < task.values; ++v) {
        std::string value = Draw(task.value, &context_.random);
        while (!values.insert(value).second) {
          value = Draw(task.value, &context_.random);
        }
        needles_.push_back({context_.random.Uniform(), Needle(name, value)});
        values_.push_back(std::move(value));
      }
    }
    std::sort(needles_.begin(), needles_.end());
    if (task.haystack == HaystackKind::kEssay) {
      const Haystack& haystack = context_.sources->haystack();
      first_word_ = haystack.SentenceWord(
          static_cast<int64_t>(context_.random.Below(haystack.sentences())));
    }
  }

  RulerPrompt Render(int64_t units) const override {
    RulerPrompt prompt;
    const std::string_view hidden = Hidden(context_.task.value);
    std::string asked;
    for (int64_t q = 0; q < context_.task.queries; ++q) {
      asked += (q == 0                           ? ""
                : q + 1 == context_.task.queries ? " and "
                                                 : ", ") +
               names_[q];
      for (int64_t v = 0; v < context_.task.values; ++v) {
        prompt.outputs.push_back(values_[q * context_.task.values + v]);
      }
    }
    prompt.body = fmt::format(fmt::runtime(wording_.opening), hidden) + "\n\n" +
                  Text(units) + "\n\n" +
                  fmt::format(fmt::runtime(wording_.question), hidden, asked);
    prompt.prefix = fmt::format(fmt::runtime(wording_.prefix), hidden, asked);
    return prompt;
  }

 private:
  std::string Draw(NeedleKind kind, PhiloxSequence* random) const {
    if (kind == NeedleKind::kUuids) return Uuid(random);
    if (kind == NeedleKind::kNumbers) {
      return std::to_string(1000000 + random->Below(9000000));
    }
    const WordPairs& pairs = context_.sources->pairs();
    return pairs.at(random->Below(pairs.size()));
  }

  std::string Needle(const std::string& name, const std::string& value) const {
    return fmt::format(fmt::runtime(wording_.needle),
                       Hidden(context_.task.value), name, value);
  }

  // Another name's needle; no two of a sample share a name or a value.
  std::string Distractor(int64_t line) const {
    PhiloxSequence random(context_.lines_seed, line);
    std::string name, value;
    do {
      name = Draw(context_.task.key, &random);
      value = Draw(context_.task.value, &random);
    } while (std::find(names_.begin(), names_.end(), name) != names_.end() ||
             std::find(values_.begin(), values_.end(), value) != values_.end());
    return Needle(name, value);
  }

  std::string Text(int64_t units) const {
    std::vector<std::string> owned;
    std::vector<std::string_view> pieces;
    std::string_view between = "\n";
    if (context_.task.haystack == HaystackKind::kEssay) {
      pieces = context_.sources->haystack().Cut(first_word_, units);
      between = " ";
    } else if (context_.task.haystack == HaystackKind::kNoise) {
      for (int64_t i = 0; i < units; ++i) {
        pieces.push_back(FreshNoise(context_.lines_seed, i));
      }
    } else {
      owned.reserve(units);
      for (int64_t i = 0; i < units; ++i) {
        pieces.push_back(owned.emplace_back(Distractor(i)));
      }
    }
    return WithNeedles(pieces, between);
  }

  // A needle at depth u stands before piece floor(u (pieces + 1)).
  std::string WithNeedles(const std::vector<std::string_view>& pieces,
                          std::string_view between) const {
    std::string text;
    const auto add = [&](std::string_view piece) {
      if (!text.empty()) text += between;
      text += piece;
    };
    size_t next = 0;
    for (size_t i = 0; i <= pieces.size(); ++i) {
      while (next < needles_.size() &&
             static_cast<size_t>(needles_[next].first *
                                 static_cast<double>(pieces.size() + 1)) <= i) {
        add(needles_[next++].second);
      }
      if (i < pieces.size()) add(pieces[i]);
    }
    return text;
  }

  FreshContext context_;
  Wording wording_;
  std::vector<std::string> names_, values_;
  std::vector<std::pair<double, std::string>> needles_;  // by depth
  int64_t first_word_ = 0;
};

}  // namespace

std::unique_ptr<FreshSample> MakeFreshNiah(FreshContext context) {
  return std::make_unique<FreshNiah>(std::move(context));
}

}  // namespace rattn
