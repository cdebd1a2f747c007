#include "tasks/text.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <nlohmann/json.hpp>
#include <numbers>
#include <unordered_map>

#include "models/error.h"
#include "models/json_fields.h"
#include "tasks/params.h"
#include "tasks/sample.h"
#include "tasks/scoring.h"

namespace rattn {
namespace {

constexpr std::string_view kName = "text";
constexpr int64_t kBytes = 256;
constexpr double kChance = 8;  // bits per byte of a uniform guess
constexpr size_t kMaxTextBytes = size_t{1} << 31;
constexpr int64_t kFirstBucketEnd = 32;
constexpr int64_t kBucketFactor = 4;
constexpr int64_t kRepeatBytes = 8;  // fit one word

void CheckHolds(const std::string& file, std::string_view text,
                int64_t length) {
  if (static_cast<int64_t>(text.size()) <= length) {
    throw UserError(fmt::format(
        "text: \"{}\" gives {} bytes, a row of {} needs {}: use a longer file "
        "or a shorter length",
        file, text.size(), length, length + 1));
  }
}

// For each place of a row: places back to the latest continuation of the same
// kRepeatBytes bytes, 0 if they did not stand there before.
std::vector<int64_t> RepeatDistances(std::string_view row) {
  std::vector<int64_t> distances(row.size(), 0);
  std::unordered_map<uint64_t, int64_t> latest;
  uint64_t context = 0;
  for (int64_t at = 0; at < static_cast<int64_t>(row.size()); ++at) {
    context = context << 8 | static_cast<unsigned char>(row[at]);
    if (at + 1 < kRepeatBytes) continue;
    const auto [found, is_new] = latest.try_emplace(context, at);
    if (!is_new) distances[at] = at - found->second;
    found->second = at;
  }
  return distances;
}

// Bits summed per window of text, by the kind of place.
class BitCounts {
 public:
  explicit BitCounts(int64_t window_keys) : window_keys_(window_keys) {}

  void AddRow(int64_t row, std::string_view text,
              const std::vector<double>& bits);
  std::vector<Score> Scores() const;

 private:
  struct Sum {
    double bits = 0, bytes = 0;
    void Add(double value) {
      bits += value;
      ++bytes;
    }
  };
  void Flush(int64_t row, const std::string& key, const Sum& sum);

  int64_t window_keys_;
  // In order of first use, so that buckets stay in the order of positions.
  std::vector<std::pair<std::string, ClusteredMean>> means_;
};

void BitCounts::Flush(int64_t row, const std::string& key, const Sum& sum) {
  if (sum.bytes == 0) return;
  auto found =
      std::find_if(means_.begin(), means_.end(),
                   [&](const auto& mean) { return mean.first == key; });
  if (found == means_.end()) {
    means_.emplace_back(key, ClusteredMean());
    found = means_.end() - 1;
  }
  found->second.Add(row, sum.bits, sum.bytes);
}

void BitCounts::AddRow(int64_t row, std::string_view text,
                       const std::vector<double>& bits) {
  const int64_t length = bits.size();
  Sum all;
  for (const double value : bits) all.Add(value);
  Flush(row, "bits_per_byte", all);
  for (int64_t begin = 0, end = kFirstBucketEnd; begin < length;
       begin = end, end *= kBucketFactor) {
    Sum bucket;
    for (int64_t at = begin; at < std::min(end, length); ++at) {
      bucket.Add(bits[at]);
    }
    // at + 1 bytes stand before the byte that is predicted at `at`.
    Flush(row, fmt::format("bits_per_byte.position_{}_{}", begin + 1, end),
          bucket);
  }
  if (window_keys_ == 0) return;
  Sum within, beyond, repeat_within, repeat_beyond;
  const std::vector<int64_t> distances = RepeatDistances(text);
  for (int64_t at = 0; at < length; ++at) {
    (at < window_keys_ ? within : beyond).Add(bits[at]);
    if (distances[at] == 0) continue;
    // The continuation stands one place after the repeated bytes.
    (distances[at] - 1 < window_keys_ ? repeat_within : repeat_beyond)
        .Add(bits[at]);
  }
  Flush(row, "bits_per_byte.within_window", within);
  Flush(row, "bits_per_byte.beyond_window", beyond);
  Flush(row, "bits_per_byte.repeat_within_window", repeat_within);
  Flush(row, "bits_per_byte.repeat_beyond_window", repeat_beyond);
}

std::vector<Score> BitCounts::Scores() const {
  std::vector<Score> scores;
  for (const auto& [key, mean] : means_) {
    scores.push_back({.key = key,
                      .value = mean.value(),
                      .standard_error = mean.standard_error(),
                      .chance = kChance,
                      .higher_is_better = false,
                      .unit = "bits per byte",
                      .n = static_cast<int64_t>(mean.weight())});
  }
  return scores;
}

class TextTask : public Task {
 public:
  explicit TextTask(const TextParams& params);

  std::string_view name() const override { return kName; }
  int64_t train_length() const override { return params_.train_length; }
  int64_t vocab_size() const override { return kBytes; }
  std::string Fingerprint() const override { return fingerprint_; }

  Batch TrainBatch(int64_t step, int64_t rows) const override;
  EvalResult Evaluate(const LanguageModel& model,
                      const EvalOptions& options) const override;
  std::string Show(uint64_t seed, int64_t index, int64_t length) const override;

 private:
  const std::string& ValidFile() const {
    return params_.valid_file.empty() ? params_.train_file : params_.valid_file;
  }
  // Rows of `length` bytes (0: the training length), each with the byte that
  // follows it; throws UserError if there is none.
  int64_t CountRows(int64_t* length) const;
  std::string_view Row(int64_t index, int64_t length) const {
    return valid_.substr(index * length, length + 1);
  }

  TextParams params_;
  std::string train_text_, valid_text_;
  std::string_view train_, valid_;
  std::string fingerprint_;
};

// Predict byte i + 1 at place i.
void PutRow(std::string_view text, int64_t row, Batch* batch) {
  for (int64_t i = 0; i < batch->length; ++i) {
    const int64_t at = row * batch->length + i;
    batch->tokens[at] = static_cast<unsigned char>(text[i]);
    batch->targets[at] = static_cast<unsigned char>(text[i + 1]);
  }
}

Batch EmptyBatch(int64_t rows, int64_t length) {
  Batch batch;
  batch.rows = rows;
  batch.length = length;
  batch.tokens.resize(rows * length);
  batch.targets.resize(rows * length);
  return batch;
}

TextTask::TextTask(const TextParams& params) : params_(params) {
  const std::string origin(kName);
  CheckRange(origin, "train_length", params.train_length, 1, kMaxLength);
  CheckRange(origin, "window_keys", params.window_keys, 0, kMaxLength);
  if (!(params.valid_share > 0 && params.valid_share < 1)) {
    throw UserError(
        fmt::format("text: \"valid_share\" must be between 0 and 1, not {}",
                    params.valid_share));
  }
  train_text_ = ReadTextFile(params.train_file, kMaxTextBytes);
  train_ = train_text_;
  if (params.valid_file.empty()) {
    const auto split = static_cast<size_t>(
        static_cast<double>(train_text_.size()) * (1 - params.valid_share));
    train_ = std::string_view(train_text_).substr(0, split);
    valid_ = std::string_view(train_text_).substr(split);
  } else {
    valid_text_ = ReadTextFile(params.valid_file, kMaxTextBytes);
    valid_ = valid_text_;
  }
  CheckHolds(params.train_file, train_, params.train_length);
  CheckHolds(ValidFile(), valid_, 1);
  fingerprint_ =
      FingerprintOf(kName, {HexHash(train_), params.train_length, params.seed});
}

Batch TextTask::TrainBatch(int64_t step, int64_t rows) const {
  Batch batch = EmptyBatch(rows, params_.train_length);
  for (int64_t row = 0; row < rows; ++row) {
    PhiloxSequence random =
        TaskStream(params_.seed, Purpose::kTrain, step * rows + row);
    const uint64_t start = random.Below(train_.size() - params_.train_length);
    PutRow(train_.substr(start, params_.train_length + 1), row, &batch);
  }
  return batch;
}

int64_t TextTask::CountRows(int64_t* length) const {
  if (*length == 0) *length = params_.train_length;
  CheckLength(kName, *length, 1);
  CheckHolds(ValidFile(), valid_, *length);
  return (static_cast<int64_t>(valid_.size()) - 1) / *length;
}

EvalResult TextTask::Evaluate(const LanguageModel& model,
                              const EvalOptions& options) const {
  CheckEvaluation(*this, model, options);
  int64_t length = options.length;
  const int64_t available = CountRows(&length);
  const int64_t total = std::min(options.samples, available);
  BitCounts counts(params_.window_keys);
  EvalResult result;
  ForEachBatch(total, options, [&](int64_t first, int64_t count) {
    Batch batch = EmptyBatch(count, length);
    std::vector<TokenAt> places;
    for (int64_t row = 0; row < count; ++row) {
      PutRow(Row((first + row) * available / total, length), row, &batch);
      for (int64_t at = 0; at < length; ++at) places.push_back({row, at});
    }
    const std::vector<float> logits = model.Logits(batch, places);
    CheckFinite(logits);
    const int64_t vocab = model.vocab_size();
    for (int64_t row = 0; row < count; ++row) {
      std::vector<double> bits(length);
      double sum = 0;
      for (int64_t at = 0; at < length; ++at) {
        const int64_t place = row * length + at;
        bits[at] = NegativeLogLikelihood({logits.data() + place * vocab,
                                          static_cast<size_t>(vocab)},
                                         batch.targets[place]) /
                   std::numbers::ln2;
        sum += bits[at];
      }
      const int64_t index = (first + row) * available / total;
      counts.AddRow(index, Row(index, length).substr(0, length), bits);
      result.sample_jsonl.push_back(
          Json{{"offset", index * length},
               {"bytes", length},
               {"bits_per_byte", sum / static_cast<double>(length)}}
              .dump());
    }
  });
  result.scores = counts.Scores();
  return result;
}

std::string TextTask::Show(uint64_t seed, int64_t index, int64_t length) const {
  CheckIndex(kName, index);
  const int64_t available = CountRows(&length);
  PhiloxSequence random = TaskStream(seed, Purpose::kEval, index);
  std::string text;
  for (const char byte : Row(random.Below(available), length)) {
    const auto code = static_cast<unsigned char>(byte);
    const bool control = code < 32 && byte != '\n' && byte != '\t';
    text += control ? fmt::format("\\x{:02x}", code) : std::string(1, byte);
  }
  return text + '\n';
}

}  // namespace

std::unique_ptr<Task> MakeText(const std::string& params_json) {
  return std::make_unique<TextTask>(ParseFields<TextParams>(
      ParseParams(kName, params_json), std::string(kName)));
}

}  // namespace rattn
