// A tokenizer.json: added tokens, normalizer, pre-tokenizer, byte-pair
// encoding, post-processor and decoder, as Hugging Face's `tokenizers` runs it.
#pragma once

#include <memory>

#include "models/tokenizer.h"
#include "models/tokenizer/source_files.h"

namespace rattn {

// Throws UserError that names the file and what is wrong or unsupported.
std::unique_ptr<Tokenizer> LoadHfTokenizer(SourceFiles* files);

}  // namespace rattn
