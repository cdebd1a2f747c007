#include "models/tokenizer/added_tokens.h"

#include <fmt/format.h>

#include <algorithm>

#include "models/tokenizer/unicode.h"

namespace rattn {
namespace {

uint64_t Edge(uint32_t node, char byte) {
  return (uint64_t{node} << 8) | static_cast<uint8_t>(byte);
}

size_t PreviousCharacter(std::string_view text, size_t at) {
  do {
    --at;
  } while (at > 0 && (text[at] & 0xc0) == 0x80);
  return at;
}

bool WordEndsAt(std::string_view text, size_t at) {
  if (at == 0) return false;
  size_t before = PreviousCharacter(text, at);
  return IsWordCharacter(NextCodePoint(text, &before));
}

bool WordBeginsAt(std::string_view text, size_t at) {
  return at < text.size() && IsWordCharacter(NextCodePoint(text, &at));
}

size_t SpacesBefore(std::string_view text, size_t at, size_t least) {
  while (at > least) {
    const size_t before = PreviousCharacter(text, at);
    size_t after = before;
    if (!IsWhiteSpace(NextCodePoint(text, &after))) break;
    at = before;
  }
  return at;
}

size_t SpacesBehind(std::string_view text, size_t at) {
  for (size_t next = at; next < text.size(); at = next) {
    if (!IsWhiteSpace(NextCodePoint(text, &next))) break;
  }
  return at;
}

}  // namespace

AddedToken ReadAddedToken(const Component& component, int64_t id,
                          int64_t id_limit) {
  AddedToken token;
  token.content = component.String("content");
  if (id < 0 || id >= id_limit) {
    component.Fail(fmt::format("has the id {}, which is not from 0 to {}", id,
                               id_limit - 1));
  }
  if (token.content.size() > kLongestContent) {
    component.Fail(
        fmt::format("has a content of over {} bytes", kLongestContent));
  }
  token.id = static_cast<int32_t>(id);
  token.special = component.Bool("special", false);
  token.normalized = component.Bool("normalized", !token.special);
  token.single_word = component.Bool("single_word", false);
  token.lstrip = component.Bool("lstrip", false);
  token.rstrip = component.Bool("rstrip", false);
  return token;
}

void AddedTokenFinder::Add(const AddedToken& token,
                           const std::string& content) {
  if (content.empty()) return;
  uint32_t node = 0;
  for (const char byte : content) {
    const auto [edge, added] = edges_.try_emplace(Edge(node, byte), nodes_);
    if (added) ++nodes_;
    node = edge->second;
  }
  begins_[static_cast<uint8_t>(content[0])] = true;
  // Of two with the same content the first counts.
  if (ends_.try_emplace(node, static_cast<int32_t>(tokens_.size())).second) {
    tokens_.push_back(token);
  }
}

AddedTokenFinder::Found AddedTokenFinder::LongestAt(std::string_view text,
                                                    size_t at) const {
  Found found;
  uint32_t node = 0;
  while (at < text.size()) {
    const auto edge = edges_.find(Edge(node, text[at++]));
    if (edge == edges_.end()) break;
    node = edge->second;
    if (const auto end = ends_.find(node); end != ends_.end()) {
      found = {end->second, at};
    }
  }
  return found;
}

std::vector<Segment> AddedTokenFinder::Split(std::string_view text) const {
  std::vector<Segment> segments;
  size_t done = 0;
  for (size_t at = 0; at < text.size();) {
    const bool begins = begins_[static_cast<uint8_t>(text[at])];
    const Found found = begins ? LongestAt(text, at) : Found{};
    if (found.token < 0) {
      ++at;
      continue;
    }
    const AddedToken& token = tokens_[found.token];
    size_t begin = at, end = found.end;
    at = end;
    if (token.single_word &&
        (WordEndsAt(text, begin) || WordBeginsAt(text, end))) {
      continue;
    }
    // Not behind `done`: what lies there was walked over before.
    if (token.lstrip) begin = SpacesBefore(text, begin, done);
    if (token.rstrip) end = SpacesBehind(text, std::max(end, done));
    begin = std::max(begin, done);
    if (begin > done) segments.push_back({{done, begin}, -1});
    segments.push_back({{begin, end}, token.id});
    done = std::max(done, end);
  }
  if (done < text.size()) segments.push_back({{done, text.size()}, -1});
  return segments;
}

}  // namespace rattn
