// For tests: answers RULER-style texts from their tokens alone, without the
// generators' help.
#pragma once

#include <algorithm>
#include <map>
#include <span>
#include <vector>

#include "tasks/ruler_vocab.h"

namespace rattn {

class RulerSolver {
 public:
  using Tokens = std::vector<int32_t>;
  explicit RulerSolver(const RulerVocabParams& params)
      : p_(params), vocab_(params) {}

  // The whole answer to the last question of `prefix`, which may end with a
  // part of its answer; `given` receives how many tokens of it stand there.
  Tokens Answer(std::span<const int32_t> prefix, size_t* given) const {
    size_t marker = prefix.size() - 1;
    while (!IsMarker(prefix[marker])) --marker;
    size_t text = 0;
    while (!IsMarker(prefix[text])) ++text;
    const Tokens haystack(prefix.begin(), prefix.begin() + text);
    const Tokens tail(prefix.begin() + marker + 1, prefix.end());
    switch (prefix[marker]) {
      case RulerVocab::kAsk:
      case RulerVocab::kAskAll:
        return AskedValues(haystack, tail, given);
      case RulerVocab::kTrace:
        *given = tail.size() - 1;
        return Traced(haystack, tail[0]);
      case RulerVocab::kCommon:
        *given = tail.size();
        return Common(haystack);
      case RulerVocab::kFrequent:
        *given = tail.size();
        return Frequent(haystack);
      default:
        *given = tail.size() - 2;
        return About(haystack, tail[0], tail[1]);
    }
  }
  // The token that follows `prefix`.
  int32_t Next(std::span<const int32_t> prefix) const {
    size_t given = 0;
    const Tokens answer = Answer(prefix, &given);
    return given < answer.size() ? answer[given] : 0;
  }

  bool IsKey(int32_t t) const { return In(t, vocab_.Key(0), p_.keys); }
  bool IsValue(int32_t t) const { return In(t, vocab_.Value(0), p_.values); }
  bool IsWord(int32_t t) const { return In(t, vocab_.Word(0), p_.words); }

 private:
  static bool In(int32_t t, int32_t first, int64_t count) {
    return t >= first && t < first + count;
  }
  static bool IsMarker(int32_t t) {
    return t == RulerVocab::kAsk || t == RulerVocab::kAskAll ||
           t == RulerVocab::kTrace || t == RulerVocab::kCommon ||
           t == RulerVocab::kFrequent || t == RulerVocab::kAbout;
  }

  // Values of a key: what stands after it, in order of ids.
  std::vector<Tokens> ValuesOf(const Tokens& haystack,
                               const Tokens& key) const {
    std::vector<Tokens> values;
    for (size_t i = 0; i < haystack.size();) {
      Tokens found_key, value;
      while (i < haystack.size() && IsKey(haystack[i])) {
        found_key.push_back(haystack[i++]);
      }
      while (i < haystack.size() && IsValue(haystack[i])) {
        value.push_back(haystack[i++]);
      }
      if (found_key.empty()) {
        ++i;
      } else if (found_key == key) {
        values.push_back(value);
      }
    }
    std::sort(values.begin(), values.end());
    return values;
  }

  Tokens AskedValues(const Tokens& haystack, const Tokens& tail,
                     size_t* given) const {
    const auto colon = std::find(tail.begin(), tail.end(), RulerVocab::kAnswer);
    Tokens answer;
    const auto append = [&](const Tokens& key) {
      for (const Tokens& value : ValuesOf(haystack, key)) {
        answer.insert(answer.end(), value.begin(), value.end());
      }
    };
    if (colon != tail.end()) {  // several keys of one token each, restated
      *given = tail.end() - colon - 1;
      for (auto key = tail.begin(); key != colon; ++key) {
        answer.push_back(*key);
        append({*key});
      }
      return answer;
    }
    const auto end = std::find_if(tail.begin(), tail.end(),
                                  [&](int32_t t) { return !IsKey(t); });
    *given = tail.end() - end;
    append(Tokens(tail.begin(), end));
    return answer;
  }

  Tokens Traced(const Tokens& haystack, int32_t value) const {
    std::map<int32_t, int32_t> assigned;  // source to name
    for (size_t i = 0; i < haystack.size(); ++i) {
      if (IsWord(haystack[i])) continue;
      assigned[haystack[i]] = haystack[i + 1];
      ++i;
    }
    Tokens names;
    while (assigned.contains(value)) {
      value = assigned[value];
      names.push_back(value);
    }
    return names;
  }

  std::vector<std::pair<int64_t, int32_t>> Counts(
      const Tokens& haystack) const {
    std::map<int32_t, int64_t> counts;
    for (const int32_t t : haystack) {
      if (IsWord(t)) ++counts[t];
    }
    std::vector<std::pair<int64_t, int32_t>> sorted;
    for (const auto& [word, count] : counts) sorted.push_back({-count, word});
    std::sort(sorted.begin(), sorted.end());
    return sorted;
  }
  Tokens Common(const Tokens& haystack) const {
    Tokens words;
    const auto counts = Counts(haystack);
    for (const auto& [count, word] : counts) {
      if (count == counts[0].first) words.push_back(word);
    }
    return words;
  }
  Tokens Frequent(const Tokens& haystack) const {
    Tokens words;
    const auto counts = Counts(haystack);
    for (size_t i = 0; i < 3; ++i) words.push_back(counts[i].second);
    return words;
  }
  Tokens About(const Tokens& haystack, int32_t attribute, int32_t title) const {
    Tokens values;
    for (size_t i = 0; i + 2 < haystack.size(); ++i) {
      if (haystack[i] != attribute || haystack[i + 1] != title) continue;
      for (size_t j = i + 2; j < haystack.size() && IsValue(haystack[j]); ++j) {
        values.push_back(haystack[j]);
      }
    }
    return values;
  }

  RulerVocabParams p_;
  RulerVocab vocab_;
};

}  // namespace rattn
