#include "models/tokenizer/decoder.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <array>
#include <charconv>
#include <utility>

#include "models/tokenizer/byte_level.h"
#include "models/tokenizer/pattern.h"
#include "models/tokenizer/unicode.h"

namespace rattn {
namespace {

using Pieces = std::vector<std::string>;

constexpr std::string_view kReplacement = "\uFFFD";

Decoder MakeSequence(const Component& component) {
  std::vector<Decoder> steps;
  for (const Component& child : component.List("decoders")) {
    steps.push_back(MakeDecoder(child));
  }
  return [steps](Pieces* pieces, const TextLimit& limit) {
    for (const Decoder& step : steps) step(pieces, limit);
  };
}

// Bytes of a piece in GPT-2's alphabet; the piece itself if it is not in it.
std::string BytesOf(const std::string& piece) {
  std::string bytes;
  for (size_t at = 0; at < piece.size();) {
    const int byte = CharacterByte(NextCodePoint(piece, &at));
    if (byte < 0) return piece;
    bytes += static_cast<char>(byte);
  }
  return bytes;
}

Decoder MakeByteLevel(const Component&) {
  return [](Pieces* pieces, const TextLimit&) {
    std::string bytes;
    for (const std::string& piece : *pieces) bytes += BytesOf(piece);
    *pieces = {ToValidUtf8(bytes)};
  };
}

Decoder MakeReplace(const Component& component) {
  return
      [pattern = PatternOf(component), content = component.String("content")](
          Pieces* pieces, const TextLimit& limit) {
        size_t bytes = 0;
        for (std::string& piece : *pieces) {
          piece = ReplaceAll(pattern, piece, content, limit);
          limit.Check(bytes += piece.size());
        }
      };
}

// Bytes that are no UTF-8 together are one U+FFFD each.
void FlushBytes(std::string* bytes, Pieces* out) {
  if (bytes->empty()) return;
  if (IsValidUtf8(*bytes)) {
    out->push_back(*bytes);
  } else {
    out->insert(out->end(), bytes->size(), std::string(kReplacement));
  }
  bytes->clear();
}

Decoder MakeByteFallback(const Component&) {
  return [](Pieces* pieces, const TextLimit&) {
    Pieces out;
    std::string bytes;
    for (std::string& piece : *pieces) {
      if (const int byte = ByteOfPiece(piece); byte >= 0) {
        bytes += static_cast<char>(byte);
        continue;
      }
      FlushBytes(&bytes, &out);
      out.push_back(std::move(piece));
    }
    FlushBytes(&bytes, &out);
    *pieces = std::move(out);
  };
}

Decoder MakeFuse(const Component&) {
  return [](Pieces* pieces, const TextLimit&) {
    *pieces = {fmt::format("{}", fmt::join(*pieces, ""))};
  };
}

Decoder MakeStrip(const Component& component) {
  return [content = component.String("content"),
          most_left = component.Int("start", 0),
          most_right = component.Int("stop", 0)](Pieces* pieces,
                                                 const TextLimit&) {
    if (content.empty()) return;
    for (std::string& piece : *pieces) {
      std::string_view rest = piece;
      for (int64_t i = 0; i < most_left && rest.starts_with(content); ++i) {
        rest.remove_prefix(content.size());
      }
      for (int64_t i = 0; i < most_right && rest.ends_with(content); ++i) {
        rest.remove_suffix(content.size());
      }
      piece = std::string(rest);
    }
  };
}

Decoder MakeMetaspace(const Component& component) {
  const std::string scheme = component.String(
      "prepend_scheme",
      component.Bool("add_prefix_space", true) ? "always" : "never");
  const Pattern mark = LiteralPattern(component.String("replacement"));
  return [mark, prepends = scheme != "never"](Pieces* pieces,
                                              const TextLimit& limit) {
    for (size_t i = 0; i < pieces->size(); ++i) {
      const bool dropped = i == 0 && prepends;
      (*pieces)[i] = ReplaceAll(mark, (*pieces)[i], dropped ? "" : " ", limit);
    }
  };
}

struct Maker {
  std::string_view type;
  Decoder (*make)(const Component&);
};
constexpr std::array kMakers = {
    Maker{"Sequence", MakeSequence},   Maker{"ByteLevel", MakeByteLevel},
    Maker{"Replace", MakeReplace},     Maker{"ByteFallback", MakeByteFallback},
    Maker{"Fuse", MakeFuse},           Maker{"Strip", MakeStrip},
    Maker{"Metaspace", MakeMetaspace},
};

}  // namespace

Decoder MakeDecoder(const Component& component) {
  return MakeFrom(kMakers, component);
}

int ByteOfPiece(std::string_view piece) {
  if (piece.size() != 6 || !piece.starts_with("<0x") || piece[5] != '>') {
    return -1;
  }
  int byte = -1;
  const char* end = piece.data() + 5;
  const auto [at, error] = std::from_chars(piece.data() + 3, end, byte, 16);
  return error == std::errc() && at == end ? byte : -1;
}

}  // namespace rattn
