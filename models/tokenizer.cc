#include "models/tokenizer.h"

#include <fmt/format.h>

#include <array>
#include <filesystem>

#include "models/error.h"
#include "models/tokenizer/hf_tokenizer.h"
#include "models/tokenizer/sentencepiece_tokenizer.h"
#include "models/tokenizer/source_files.h"

namespace rattn {
namespace {

struct Format {
  const char* file;
  std::unique_ptr<Tokenizer> (*load)(SourceFiles* files);
};
// As Hugging Face does, the first that is there.
constexpr std::array kFormats = {
    Format{"tokenizer.json", LoadHfTokenizer},
    Format{"tokenizer.model", LoadSentencePieceTokenizer},
};

}  // namespace

std::unique_ptr<Tokenizer> LoadTokenizer(const std::string& folder) {
  std::error_code error;
  if (!std::filesystem::is_directory(folder, error)) {
    throw UserError(fmt::format(
        "{} is not a folder: name the one that holds tokenizer.json or "
        "tokenizer.model",
        folder));
  }
  SourceFiles files(folder);
  for (const Format& format : kFormats) {
    if (files.Has(format.file)) return format.load(&files);
  }
  throw UserError(fmt::format(
      "{}: holds neither tokenizer.json nor tokenizer.model", folder));
}

}  // namespace rattn
