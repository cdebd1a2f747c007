// One small vocabulary for all RULER-style tasks, so that one model can learn
// them together.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace rattn {

struct RulerVocabParams {
  int64_t keys = 16;       // needle keys, variables, titles
  int64_t values = 16;     // needle values, answers
  int64_t words = 16;      // of haystacks and word lists
  int64_t attributes = 4;  // what documents tell about their titles
};

template <typename Visitor>
void VisitFields(Visitor& visit, RulerVocabParams& p) {
  visit.Optional("keys", p.keys, "needle keys, variables, document titles");
  visit.Optional("values", p.values, "needle values, answers");
  visit.Optional("words", p.words, "words of haystacks and lists");
  visit.Optional("attributes", p.attributes, "what documents tell");
}

class RulerVocab {
 public:
  enum Special : int32_t {
    kPad,
    kAsk,       // the value of one key
    kAskAll,    // all values of a key
    kAnswer,    // ends a list of keys
    kTrace,     // the variables that hold a value
    kCommon,    // the most common words
    kFrequent,  // the most frequent words
    kDocument,  // begins a document
    kAbout,     // an attribute of a title
    kDots,      // filler of the frequent words task
    kSpecials
  };

  // Throws UserError for counts out of range.
  explicit RulerVocab(const RulerVocabParams& params);

  int64_t keys() const { return params_.keys; }
  int64_t values() const { return params_.values; }
  int64_t words() const { return params_.words; }
  int64_t attributes() const { return params_.attributes; }
  int32_t Key(int64_t i) const { return key0_ + static_cast<int32_t>(i); }
  int32_t Value(int64_t i) const { return value0_ + static_cast<int32_t>(i); }
  int32_t Word(int64_t i) const { return word0_ + static_cast<int32_t>(i); }
  int32_t Attribute(int64_t i) const {
    return attribute0_ + static_cast<int32_t>(i);
  }
  int64_t size() const { return size_; }
  std::string Text(int32_t token) const;
  std::string Text(const std::vector<int32_t>& tokens) const;

 private:
  RulerVocabParams params_;
  int32_t key0_, value0_, word0_, attribute0_, size_;
};

}  // namespace rattn
