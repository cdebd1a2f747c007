#include "tasks/ruler_text/token_counter.h"

namespace rattn {
namespace {

constexpr int64_t kCheckedFirst = 4;
constexpr int64_t kCheckedEvery = 64;
constexpr size_t kMostPieces = size_t{1} << 20;
// Stands before a piece while it is counted, so that it is inside of a text.
constexpr std::string_view kLead = "x";

bool IsAsciiInk(char c) { return c > 0x20 && c < 0x7f; }

// The start of the piece after the one at `from`: a single space between
// characters of ASCII that are no white space.
size_t NextPiece(std::string_view text, size_t from) {
  size_t at = text.find(' ', from + 1);
  while (at != text.npos && at + 1 < text.size() &&
         !(IsAsciiInk(text[at - 1]) && IsAsciiInk(text[at + 1]))) {
    at = text.find(' ', at + 1);
  }
  return at == text.npos || at + 1 >= text.size() ? text.size() : at;
}

}  // namespace

CachedTokenCounter::CachedTokenCounter(const Tokenizer* tokenizer,
                                       bool add_special)
    : tokenizer_(tokenizer), add_special_(add_special) {
  lead_tokens_ = Whole(kLead);
}

void CachedTokenCounter::Restart() {
  exact_only_ = wrong_;
  wrong_ = false;
  calls_ = 0;
}

int64_t CachedTokenCounter::Whole(std::string_view text) const {
  return static_cast<int64_t>(tokenizer_->Encode(text, add_special_).size());
}

int64_t CachedTokenCounter::OfPiece(std::string_view piece) {
  if (const auto found = pieces_.find(piece); found != pieces_.end()) {
    return found->second;
  }
  if (pieces_.size() >= kMostPieces) pieces_.clear();
  std::string inside(kLead);
  inside += piece;
  const int64_t count = Whole(inside) - lead_tokens_;
  pieces_.emplace(piece, count);
  return count;
}

int64_t CachedTokenCounter::FromPieces(std::string_view text) {
  size_t at = NextPiece(text, 0);
  int64_t total = Whole(text.substr(0, at));
  while (at < text.size()) {
    const size_t end = NextPiece(text, at);
    total += OfPiece(text.substr(at, end - at));
    at = end;
  }
  return total;
}

int64_t CachedTokenCounter::Count(std::string_view text) {
  if (exact_only_ || text.empty()) return Whole(text);
  const int64_t total = FromPieces(text);
  if (calls_++ < kCheckedFirst || calls_ % kCheckedEvery == 0) {
    const int64_t whole = Whole(text);
    wrong_ |= whole != total;
    return whole;
  }
  return total;
}

}  // namespace rattn
