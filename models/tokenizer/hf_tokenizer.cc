#include "models/tokenizer/hf_tokenizer.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <optional>
#include <utility>

#include "models/tokenizer/base_tokenizer.h"
#include "models/tokenizer/bpe.h"
#include "models/tokenizer/decoder.h"
#include "models/tokenizer/normalizer.h"
#include "models/tokenizer/post_processor.h"
#include "models/tokenizer/pre_tokenizer.h"
#include "models/tokenizer/tokenizer_file.h"

namespace rattn {
namespace {

constexpr const char* kFile = "tokenizer.json";

class HfTokenizer : public BaseTokenizer {
 public:
  explicit HfTokenizer(SourceFiles* files)
      : HfTokenizer(
            ParseTokenizerFile(files->Read(kFile), files->PathOf(kFile))) {
    const auto find = [this](const std::string& text) { return IdOf(text); };
    specials_ = ResolveSpecials(ReadTokenizerSettings(files),
                                std::move(specials_), files->PathOf(""), find);
    fingerprint_ = files->Fingerprint();
  }

  std::string Decode(std::span<const int32_t> ids,
                     bool skip_special) const override;

 protected:
  void EncodeText(std::string_view text,
                  std::vector<int32_t>* ids) const override;
  std::string ModelPiece(int32_t id) const override {
    return id < bpe_->size() ? bpe_->piece(id) : "";
  }

 private:
  explicit HfTokenizer(const TokenizerFile& file);
  void ReadAddedTokens(const Component& root);
  void ReadAround(const Component& root);
  std::string NormalizedContent(const Component& component,
                                std::string content) const;
  int32_t IdOf(const std::string& text) const;
  void EncodePlain(std::string_view text, bool at_start, Bpe::Cache* cache,
                   std::vector<int32_t>* ids) const;
  void EncodeNormalized(std::string_view text, bool at_start,
                        const TextLimit& limit, Bpe::Cache* cache,
                        std::vector<int32_t>* ids) const;

  std::string path_;
  std::unique_ptr<Bpe> bpe_;
  Normalizer normalizer_;  // these three may be empty
  PreTokenizer pre_tokenizer_;
  Decoder decoder_;
  AddedTokenFinder raw_, normalized_;  // by the text that they are found in
};

HfTokenizer::HfTokenizer(const TokenizerFile& file) : path_(file.path) {
  const Component root(file.rest, file.path, "");
  bpe_ = std::make_unique<Bpe>(file, root.Child("model"));
  size_ = bpe_->size();
  if (root.Has("normalizer")) {
    normalizer_ = MakeNormalizer(root.Child("normalizer"));
  }
  if (root.Has("pre_tokenizer")) {
    pre_tokenizer_ = MakePreTokenizer(root.Child("pre_tokenizer"));
  }
  if (root.Has("decoder")) decoder_ = MakeDecoder(root.Child("decoder"));
  if (root.Has("added_tokens")) ReadAddedTokens(root);
  if (root.Has("post_processor")) ReadAround(root);
}

void HfTokenizer::ReadAddedTokens(const Component& root) {
  for (const Component& component : root.List("added_tokens")) {
    AddedToken token =
        ReadAddedToken(component, component.Int("id", -1), kMostTokens);
    if (token.content.empty()) continue;
    // The vocabulary's own id counts.
    const int32_t known = bpe_->Find(token.content);
    if (known >= 0) token.id = known;
    Register(token);
    if (token.normalized) {
      normalized_.Add(token, NormalizedContent(component, token.content));
    } else {
      raw_.Add(token, token.content);
    }
  }
}

std::string HfTokenizer::NormalizedContent(const Component& component,
                                           std::string content) const {
  if (normalizer_) normalizer_(&content, TextLimit(content.size(), path_));
  if (content.size() > kLongestContent) {
    component.Fail(fmt::format("has a normalized content of over {} bytes",
                               kLongestContent));
  }
  return content;
}

void HfTokenizer::ReadAround(const Component& root) {
  const Component component = root.Child("post_processor");
  AddedAround around = ReadPostProcessor(component);
  for (const auto* list : {&around.before, &around.after}) {
    for (const int32_t id : *list) {
      if (id < size_) continue;
      component.Fail(
          fmt::format("adds the id {}, the largest is {}", id, size_ - 1));
    }
  }
  specials_.before = std::move(around.before);
  specials_.after = std::move(around.after);
}

int32_t HfTokenizer::IdOf(const std::string& text) const {
  for (const auto& [id, token] : added_) {
    if (token.content == text) return id;
  }
  return bpe_->Find(text);
}

void HfTokenizer::EncodeText(std::string_view text,
                             std::vector<int32_t>* ids) const {
  Bpe::Cache cache;
  for (const Segment& segment : raw_.Split(text)) {
    const auto [begin, end] = segment.range;
    if (segment.id >= 0) {
      ids->push_back(segment.id);
    } else {
      EncodePlain(text.substr(begin, end - begin), begin == 0, &cache, ids);
    }
  }
}

void HfTokenizer::EncodePlain(std::string_view text, bool at_start,
                              Bpe::Cache* cache,
                              std::vector<int32_t>* ids) const {
  std::string normal(text);
  const TextLimit limit(text.size(), path_);
  if (normalizer_) normalizer_(&normal, limit);
  for (const Segment& segment : normalized_.Split(normal)) {
    const auto [begin, end] = segment.range;
    if (segment.id >= 0) {
      ids->push_back(segment.id);
    } else {
      EncodeNormalized(std::string_view(normal).substr(begin, end - begin),
                       at_start && begin == 0, limit, cache, ids);
    }
  }
}

void HfTokenizer::EncodeNormalized(std::string_view text, bool at_start,
                                   const TextLimit& limit, Bpe::Cache* cache,
                                   std::vector<int32_t>* ids) const {
  Words words{std::string(text), {{0, text.size()}}, at_start, limit};
  if (pre_tokenizer_) pre_tokenizer_(&words);
  for (const auto& [begin, end] : words.ranges) {
    const std::string_view all = words.text;
    bpe_->Encode(all.substr(begin, end - begin), cache, ids);
  }
}

std::string HfTokenizer::Decode(std::span<const int32_t> ids,
                                bool skip_special) const {
  std::vector<std::string> pieces;
  size_t bytes = 0;
  for (const int32_t id : ids) {
    // Models have more rows than their vocabulary has pieces; such ids say
    // nothing.
    if (id < 0 || id >= size_) continue;
    const AddedToken* added = FindAdded(id);
    if (skip_special && added != nullptr && added->special) continue;
    pieces.push_back(Piece(id));
    bytes += pieces.back().size();
  }
  if (!decoder_) return fmt::format("{}", fmt::join(pieces, " "));
  decoder_(&pieces, TextLimit(bytes, path_));
  return fmt::format("{}", fmt::join(pieces, ""));
}

}  // namespace

std::unique_ptr<Tokenizer> LoadHfTokenizer(SourceFiles* files) {
  return std::make_unique<HfTokenizer>(files);
}

}  // namespace rattn
