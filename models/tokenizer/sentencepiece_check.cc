#include "models/tokenizer/sentencepiece_check.h"

#include <cstdint>
#include <optional>

namespace rattn {
namespace {

// Of sentencepiece_model.proto.
constexpr uint64_t kNormalizer = 3;    // ModelProto.normalizer_spec
constexpr uint64_t kDenormalizer = 5;  // ModelProto.denormalizer_spec
constexpr uint64_t kCharsMap = 2;      // NormalizerSpec.precompiled_charsmap

struct Field {
  uint64_t number = 0;
  std::string_view bytes;  // of a field with a length, else empty
};

// Walks the fields of a protobuf message.
class Fields {
 public:
  explicit Fields(std::string_view bytes) : rest_(bytes) {}
  bool broken() const { return broken_; }

  std::optional<Field> Next() {
    if (rest_.empty()) return std::nullopt;
    const uint64_t tag = Varint();
    Field field{tag >> 3, {}};
    switch (tag & 7) {
      case 0:
        Varint();
        break;
      case 1:
        Take(8);
        break;
      case 2:
        field.bytes = Take(Varint());
        break;
      case 5:
        Take(4);
        break;
      default:
        broken_ = true;
    }
    if (broken_) return std::nullopt;
    return field;
  }

 private:
  uint64_t Varint() {
    uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      if (rest_.empty()) break;
      const uint8_t byte = static_cast<uint8_t>(rest_[0]);
      rest_.remove_prefix(1);
      value |= static_cast<uint64_t>(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
    broken_ = true;
    return 0;
  }
  std::string_view Take(uint64_t count) {
    if (count > rest_.size()) {
      broken_ = true;
      return {};
    }
    const std::string_view taken = rest_.substr(0, count);
    rest_.remove_prefix(count);
    return taken;
  }

  std::string_view rest_;
  bool broken_ = false;
};

std::string NormalizerProblem(std::string_view spec) {
  Fields fields(spec);
  while (const std::optional<Field> field = fields.Next()) {
    if (field->number == kCharsMap && !field->bytes.empty()) {
      return "has a normalization table, which is not supported (only the "
             "rule \"identity\" is)";
    }
  }
  return fields.broken() ? "is not a SentencePiece model" : "";
}

}  // namespace

std::string SentencePieceProblem(std::string_view model) {
  Fields fields(model);
  while (const std::optional<Field> field = fields.Next()) {
    if (field->number != kNormalizer && field->number != kDenormalizer) {
      continue;
    }
    const std::string problem = NormalizerProblem(field->bytes);
    if (!problem.empty()) return problem;
  }
  return fields.broken() || model.empty() ? "is not a SentencePiece model" : "";
}

}  // namespace rattn
