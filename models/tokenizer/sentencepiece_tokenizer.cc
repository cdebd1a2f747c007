#include "models/tokenizer/sentencepiece_tokenizer.h"

#include <fmt/format.h>
#include <sentencepiece_processor.h>

#include <exception>
#include <utility>

#include "models/error.h"
#include "models/tokenizer/base_tokenizer.h"
#include "models/tokenizer/sentencepiece_check.h"

namespace rattn {
namespace {

constexpr const char* kFile = "tokenizer.model";

using Status = sentencepiece::util::Status;

class SentencePieceTokenizer : public BaseTokenizer {
 public:
  explicit SentencePieceTokenizer(SourceFiles* files)
      : path_(files->PathOf(kFile)) {
    Load(files->Read(kFile));
    size_ = processor_.GetPieceSize();
    for (int32_t id = 0; id < size_; ++id) {
      if (processor_.IsControl(id) || processor_.IsUnknown(id)) AddSpecial(id);
    }
    const TokenizerSettings settings = ReadTokenizerSettings(files);
    for (const AddedToken& token : settings.added) AddFromSettings(token);
    specials_.bos = processor_.bos_id();
    specials_.eos = processor_.eos_id();
    specials_ =
        ResolveSpecials(settings, std::move(specials_), files->PathOf(""),
                        [this](const std::string& text) { return IdOf(text); });
    fingerprint_ = files->Fingerprint();
  }

  std::string Decode(std::span<const int32_t> ids,
                     bool skip_special) const override;

 protected:
  void EncodeText(std::string_view text,
                  std::vector<int32_t>* ids) const override;
  std::string ModelPiece(int32_t id) const override {
    return id < processor_.GetPieceSize() ? processor_.IdToPiece(id) : "";
  }

 private:
  void Load(const std::string& bytes);
  void AddSpecial(int32_t id);
  void AddFromSettings(const AddedToken& token);
  int32_t IdOf(const std::string& text) const;
  void DecodeRun(std::vector<int>* run, std::string* text) const;
  void Check(const Status& status) const {
    if (!status.ok()) {
      throw UserError(fmt::format("{}: {}", path_, status.ToString()));
    }
  }

  std::string path_;
  sentencepiece::SentencePieceProcessor processor_;
  AddedTokenFinder finder_;
};

void SentencePieceTokenizer::Load(const std::string& bytes) {
  const std::string problem = SentencePieceProblem(bytes);
  if (!problem.empty()) throw UserError(fmt::format("{} {}", path_, problem));
  try {
    Check(processor_.LoadFromSerializedProto(bytes));
  } catch (const UserError&) {
    throw;
  } catch (const std::exception& error) {
    // The trie inside the library throws.
    throw UserError(fmt::format("{}: {}", path_, error.what()));
  }
}

void SentencePieceTokenizer::AddSpecial(int32_t id) {
  AddedToken token;
  token.content = processor_.IdToPiece(id);
  token.id = id;
  token.special = true;
  Register(token);
  finder_.Add(token, token.content);
}

void SentencePieceTokenizer::AddFromSettings(const AddedToken& token) {
  const int32_t id = IdOf(token.content);
  if (id >= 0 && id != token.id) {
    throw UserError(fmt::format(
        "{}: \"added_tokens_decoder\" gives the id {} to {}, which is {}",
        path_, token.id, Json(token.content).dump(), id));
  }
  Register(token);
  finder_.Add(token, token.content);
}

int32_t SentencePieceTokenizer::IdOf(const std::string& text) const {
  for (const auto& [id, token] : added_) {
    if (token.content == text) return id;
  }
  // The library gives the unknown piece for texts that it does not know.
  const int32_t id = processor_.PieceToId(text);
  return processor_.IdToPiece(id) == text ? id : -1;
}

void SentencePieceTokenizer::EncodeText(std::string_view text,
                                        std::vector<int32_t>* ids) const {
  std::vector<int> piece_ids;
  for (const Segment& segment : finder_.Split(text)) {
    const auto [begin, end] = segment.range;
    if (segment.id >= 0) {
      ids->push_back(segment.id);
      continue;
    }
    Check(processor_.Encode(text.substr(begin, end - begin), &piece_ids));
    ids->insert(ids->end(), piece_ids.begin(), piece_ids.end());
  }
}

void SentencePieceTokenizer::DecodeRun(std::vector<int>* run,
                                       std::string* text) const {
  if (run->empty()) return;
  std::string decoded;
  Check(processor_.Decode(*run, &decoded));
  *text += decoded;
  run->clear();
}

std::string SentencePieceTokenizer::Decode(std::span<const int32_t> ids,
                                           bool skip_special) const {
  std::string text;
  std::vector<int> run;
  for (const int32_t id : ids) {
    // Models can have more rows than there are pieces; such ids say nothing.
    if (id < 0 || id >= size_) continue;
    const AddedToken* added = FindAdded(id);
    if (added == nullptr) {
      if (id < processor_.GetPieceSize()) run.push_back(id);
      continue;
    }
    DecodeRun(&run, &text);
    if (!skip_special || !added->special) text += added->content;
  }
  DecodeRun(&run, &text);
  return text;
}

}  // namespace

std::unique_ptr<Tokenizer> LoadSentencePieceTokenizer(SourceFiles* files) {
  return std::make_unique<SentencePieceTokenizer>(files);
}

}  // namespace rattn
