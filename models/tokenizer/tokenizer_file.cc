#include "models/tokenizer/tokenizer_file.h"

#include <fmt/format.h>

namespace rattn {
namespace {

constexpr size_t kMostMerges = size_t{1} << 23;

// Takes the events of the JSON parser. `model.vocab` (an object) and
// `model.merges` go to the lists of the file, all else into its tree.
class Reader : public nlohmann::json_sax<Json> {
 public:
  explicit Reader(TokenizerFile* file) : file_(*file) {}

  bool null() override { return Value(nullptr); }
  bool boolean(bool value) override { return Value(value); }
  bool number_integer(int64_t value) override { return Value(value); }
  bool number_float(double value, const string_t&) override {
    return Value(value);
  }
  bool binary(binary_t&) override { Fail("binary values"); }

  bool number_unsigned(uint64_t value) override {
    if (part_ != Part::kVocab) return Value(value);
    if (value >= static_cast<uint64_t>(kMostTokens)) {
      Fail(fmt::format("the id {} in \"model.vocab\"; ids up to {} are read",
                       value, kMostTokens - 1));
    }
    file_.vocab.emplace_back(std::move(key_), static_cast<int32_t>(value));
    return true;
  }

  bool string(string_t& value) override {
    if (part_ != Part::kMerges) return Value(value);
    if (!in_pair_) {
      AddMerge(value);
    } else if (pair_.size() < 2) {
      pair_.push_back(std::move(value));
    } else {
      FailMerge();
    }
    return true;
  }

  bool start_object(size_t) override {
    if (part_ == Part::kRest && InModel("vocab")) {
      part_ = Part::kVocab;
      return true;
    }
    return Open(Json::object());
  }

  bool key(string_t& value) override {
    key_ = std::move(value);
    if (part_ == Part::kVocab) return true;
    const Json& object = *stack_.back();
    if (object.size() >= kMaxJsonKeys) Fail("too many keys in one object");
    if (object.contains(key_)) {
      Fail(fmt::format("the key {} twice in one object", Quoted(key_)));
    }
    return true;
  }

  bool end_object() override {
    if (part_ == Part::kVocab) {
      part_ = Part::kRest;
    } else {
      stack_.pop_back();
    }
    return true;
  }

  bool start_array(size_t) override {
    if (part_ == Part::kMerges) {
      if (in_pair_) FailMerge();
      in_pair_ = true;
      return true;
    }
    if (part_ == Part::kRest && InModel("merges")) {
      part_ = Part::kMerges;
      return true;
    }
    return Open(Json::array());
  }

  bool end_array() override {
    if (part_ != Part::kMerges) {
      stack_.pop_back();
    } else if (!in_pair_) {
      part_ = Part::kRest;
    } else {
      in_pair_ = false;
      if (pair_.size() != 2) FailMerge();
      PushMerge(std::move(pair_[0]), std::move(pair_[1]));
      pair_.clear();
    }
    return true;
  }

  bool parse_error(size_t position, const std::string&,
                   const Json::exception&) override {
    throw UserError(
        fmt::format("{}: not valid JSON at byte {}", file_.path, position));
  }

 private:
  enum class Part { kRest, kVocab, kMerges };

  static std::string Quoted(const std::string& text) {
    return Json(text.substr(0, 100))
        .dump(-1, ' ', false, Json::error_handler_t::replace);
  }
  [[noreturn]] void Fail(const std::string& what) const {
    throw UserError(fmt::format("{}: has {}", file_.path, what));
  }
  [[noreturn]] void FailMerge() const {
    Fail(
        fmt::format("an entry {} of \"model.merges\" that is neither \"a b\" "
                    "nor [\"a\", \"b\"]",
                    file_.merges.size()));
  }

  // Whether the value that begins now is root["model"][name].
  bool InModel(std::string_view name) const {
    return stack_.size() == 2 && root_key_ == "model" && key_ == name &&
           stack_[1]->is_object();
  }

  void AddMerge(const std::string& text) {
    const size_t space = text.find(' ');
    if (space == text.npos || text.find(' ', space + 1) != text.npos) {
      FailMerge();
    }
    PushMerge(text.substr(0, space), text.substr(space + 1));
  }

  void PushMerge(std::string left, std::string right) {
    if (file_.merges.size() >= kMostMerges) {
      Fail(fmt::format("more than {} merges", kMostMerges));
    }
    file_.merges.emplace_back(std::move(left), std::move(right));
  }

  bool Value(Json value) {
    if (part_ == Part::kVocab) {
      Fail(fmt::format("an entry {} of \"model.vocab\" that is no whole number",
                       Quoted(key_)));
    }
    if (part_ == Part::kMerges) FailMerge();
    Place(std::move(value));
    return true;
  }

  Json* Place(Json value) {
    if (stack_.empty()) {
      file_.rest = std::move(value);
      return &file_.rest;
    }
    Json& parent = *stack_.back();
    if (parent.is_array()) {
      parent.push_back(std::move(value));
      return &parent.back();
    }
    if (stack_.size() == 1) root_key_ = key_;
    return &(parent[key_] = std::move(value));
  }

  bool Open(Json empty) {
    if (part_ == Part::kVocab) return Value(std::move(empty));
    if (part_ == Part::kMerges) FailMerge();
    if (stack_.size() >= static_cast<size_t>(kMaxJsonDepth)) {
      Fail(fmt::format("more than {} levels", kMaxJsonDepth));
    }
    stack_.push_back(Place(std::move(empty)));
    return true;
  }

  TokenizerFile& file_;
  Part part_ = Part::kRest;
  std::vector<Json*> stack_;  // open objects and lists of the tree
  std::string key_, root_key_;
  bool in_pair_ = false;
  std::vector<std::string> pair_;
};

}  // namespace

TokenizerFile ParseTokenizerFile(std::string_view text,
                                 const std::string& path) {
  TokenizerFile file;
  file.path = path;
  Reader reader(&file);
  Json::sax_parse(text.begin(), text.end(), &reader);
  if (!file.rest.is_object()) {
    throw UserError(fmt::format("{}: must hold a JSON object", path));
  }
  return file;
}

}  // namespace rattn
