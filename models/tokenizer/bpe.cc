#include "models/tokenizer/bpe.h"

#include <fmt/format.h>

#include <algorithm>

#include "models/tokenizer/unicode.h"

namespace rattn {
namespace {

constexpr size_t kMostCachedBytes = 256;  // of a word
constexpr size_t kMostCachedWords = 100'000;

struct Symbol {
  int32_t id;
  int32_t previous, next;  // -1 at the ends
  bool alive;
};

struct Merge {
  uint32_t rank;
  int32_t at;  // the left symbol
  int32_t id;  // of the merged piece
  // For a heap whose top is the merge to do next.
  bool operator<(const Merge& other) const {
    return rank != other.rank ? rank > other.rank : at > other.at;
  }
};

// Merges a word's symbols; a heap holds what can be merged, and entries that
// were overtaken are dropped when they come up.
class Merger {
 public:
  Merger(const MergeTable& table, const std::vector<int32_t>& ids)
      : table_(table) {
    const int32_t count = static_cast<int32_t>(ids.size());
    symbols_.reserve(ids.size());
    for (int32_t i = 0; i < count; ++i) {
      symbols_.push_back({ids[i], i - 1, i + 1 < count ? i + 1 : -1, true});
    }
    for (int32_t i = 0; i + 1 < count; ++i) AddCandidate(i, i + 1);
    std::make_heap(heap_.begin(), heap_.end());
    heaped_ = true;
  }

  void Run(std::vector<int32_t>* ids) {
    while (!heap_.empty()) {
      std::pop_heap(heap_.begin(), heap_.end());
      const Merge merge = heap_.back();
      heap_.pop_back();
      if (StillHolds(merge)) Apply(merge);
    }
    for (int32_t i = 0; i >= 0 && !symbols_.empty(); i = symbols_[i].next) {
      ids->push_back(symbols_[i].id);
    }
  }

 private:
  void AddCandidate(int32_t left, int32_t right) {
    if (left < 0 || right < 0) return;
    const MergeRule* rule = table_.Find(symbols_[left].id, symbols_[right].id);
    if (rule == nullptr) return;
    heap_.push_back({rule->rank, left, rule->id});
    if (heaped_) std::push_heap(heap_.begin(), heap_.end());
  }

  // As Hugging Face has it: the pair may have changed, as long as it still
  // makes the same piece.
  bool StillHolds(const Merge& merge) const {
    const Symbol& left = symbols_[merge.at];
    if (!left.alive || left.next < 0) return false;
    const MergeRule* rule = table_.Find(left.id, symbols_[left.next].id);
    return rule != nullptr && rule->id == merge.id;
  }

  void Apply(const Merge& merge) {
    Symbol& left = symbols_[merge.at];
    Symbol& right = symbols_[left.next];
    left.id = merge.id;
    left.next = right.next;
    right.alive = false;
    if (left.next >= 0) symbols_[left.next].previous = merge.at;
    AddCandidate(left.previous, merge.at);
    AddCandidate(merge.at, left.next);
  }

  const MergeTable& table_;
  std::vector<Symbol> symbols_;
  std::vector<Merge> heap_;
  bool heaped_ = false;
};

size_t CharacterEnd(std::string_view word, size_t begin) {
  NextCodePoint(word, &begin);
  return begin;
}

std::string Quoted(const std::string& text) { return Json(text).dump(); }

}  // namespace

Bpe::Bpe(const TokenizerFile& file, const Component& component) {
  // Older files leave the type out.
  if (component.String("type", "BPE") != "BPE") {
    component.Unsupported(std::array<std::string_view, 1>{"BPE"});
  }
  // Dropout is for training; null and 0 are none.
  if (component.Has("dropout") && component.json()["dropout"] != 0) {
    component.Fail("has a dropout, so that its ids would be random");
  }
  // What the reader left in the tree is not what it should be.
  if (component.Has("vocab")) component.Fail("needs an object for \"vocab\"");
  if (component.Has("merges")) component.Fail("needs a list for \"merges\"");
  prefix_ = component.String("continuing_subword_prefix", "");
  suffix_ = component.String("end_of_word_suffix", "");
  byte_fallback_ = component.Bool("byte_fallback", false);
  fuse_unk_ = component.Bool("fuse_unk", false);
  ignore_merges_ = component.Bool("ignore_merges", false);
  ReadVocab(file);
  ReadMerges(file);
  ReadBytes();
  if (!component.Has("unk_token")) return;
  const std::string unk = component.String("unk_token");
  unk_ = Find(unk);
  if (unk_ < 0) {
    component.Fail(
        fmt::format("has the unk_token {} without an id", Quoted(unk)));
  }
}

void Bpe::ReadVocab(const TokenizerFile& file) {
  const auto fail = [&](const std::string& what) {
    throw UserError(fmt::format("{}: \"model.vocab\" {}", file.path, what));
  };
  int32_t largest = -1;
  for (const auto& [piece, id] : file.vocab) largest = std::max(largest, id);
  pieces_.resize(largest + 1);
  ids_.reserve(file.vocab.size());
  for (const auto& [piece, id] : file.vocab) {
    if (piece.empty()) continue;  // nothing is ever encoded as it
    if (!pieces_[id].empty()) fail(fmt::format("has the id {} twice", id));
    pieces_[id] = piece;
    if (!ids_.emplace(pieces_[id], id).second) {
      fail(fmt::format("has {} twice", Quoted(piece)));
    }
  }
}

int32_t Bpe::Known(const TokenizerFile& file, size_t merge,
                   const std::string& piece) const {
  const int32_t id = Find(piece);
  if (id < 0) {
    throw UserError(
        fmt::format("{}: merge {} needs {}, which is not in the vocabulary",
                    file.path, merge, Quoted(piece)));
  }
  return id;
}

void Bpe::ReadMerges(const TokenizerFile& file) {
  merges_ = std::make_unique<MergeTable>(file.merges.size());
  for (size_t i = 0; i < file.merges.size(); ++i) {
    const auto& [left, right] = file.merges[i];
    const int32_t left_id = Known(file, i, left);
    const int32_t right_id = Known(file, i, right);
    const size_t skip = std::min(prefix_.size(), right.size());
    const int32_t merged = Known(file, i, left + right.substr(skip));
    merges_->Set(left_id, right_id, {static_cast<uint32_t>(i), merged});
  }
}

void Bpe::ReadBytes() {
  for (int c = 0; c < 128; ++c) {
    const char character = static_cast<char>(c);
    ascii_[c] = Find({&character, 1});
  }
  for (int byte = 0; byte < 256; ++byte) {
    bytes_[byte] = Find(fmt::format("<0x{:02X}>", byte));
  }
}

int32_t Bpe::Find(std::string_view piece) const {
  const auto found = ids_.find(piece);
  return found == ids_.end() ? -1 : found->second;
}

std::string Bpe::Affixed(std::string_view word, size_t begin,
                         size_t end) const {
  std::string piece(word.substr(begin, end - begin));
  if (begin > 0) piece.insert(0, prefix_);
  if (end == word.size()) piece += suffix_;
  return piece;
}

int32_t Bpe::CharacterId(std::string_view word, size_t begin,
                         size_t end) const {
  if (!prefix_.empty() || !suffix_.empty()) {
    return Find(Affixed(word, begin, end));
  }
  const uint8_t first = static_cast<uint8_t>(word[begin]);
  return first < 128 ? ascii_[first] : Find(word.substr(begin, end - begin));
}

bool Bpe::AppendBytes(std::string_view character,
                      std::vector<int32_t>* ids) const {
  const auto id = [&](char c) { return bytes_[static_cast<uint8_t>(c)]; };
  if (std::any_of(character.begin(), character.end(),
                  [&](char c) { return id(c) < 0; })) {
    return false;
  }
  for (const char c : character) ids->push_back(id(c));
  return true;
}

// Ids of the single characters. An unknown one is its bytes where the model
// falls back on them, else the unknown token, which waits so that neighbours
// can be fused with it.
std::vector<int32_t> Bpe::Characters(std::string_view word) const {
  std::vector<int32_t> ids;
  ids.reserve(word.size());
  bool unk_waits = false;
  for (size_t begin = 0, end; begin < word.size(); begin = end) {
    end = CharacterEnd(word, begin);
    const int32_t id = CharacterId(word, begin, end);
    if (id >= 0) {
      if (unk_waits) ids.push_back(unk_);
      unk_waits = false;
      ids.push_back(id);
    } else if (byte_fallback_ && AppendBytes(Affixed(word, begin, end), &ids)) {
      continue;
    } else if (unk_ >= 0) {
      if (unk_waits && !fuse_unk_) ids.push_back(unk_);
      unk_waits = true;
    }
  }
  if (unk_waits) ids.push_back(unk_);
  return ids;
}

void Bpe::EncodeAnew(std::string_view word, std::vector<int32_t>* ids) const {
  if (ignore_merges_) {
    if (const int32_t whole = Find(word); whole >= 0) {
      ids->push_back(whole);
      return;
    }
  }
  const std::vector<int32_t> characters = Characters(word);
  if (characters.size() < 2) {
    ids->insert(ids->end(), characters.begin(), characters.end());
  } else {
    Merger(*merges_, characters).Run(ids);
  }
}

void Bpe::Encode(std::string_view word, Cache* cache,
                 std::vector<int32_t>* ids) const {
  if (word.size() > kMostCachedBytes || cache->size() >= kMostCachedWords) {
    return EncodeAnew(word, ids);
  }
  const auto [entry, is_new] = cache->try_emplace(std::string(word));
  if (is_new) EncodeAnew(word, &entry->second);
  ids->insert(ids->end(), entry->second.begin(), entry->second.end());
}

}  // namespace rattn
