// A tokenizer.model, by the SentencePiece library.
#pragma once

#include <memory>

#include "models/tokenizer.h"
#include "models/tokenizer/source_files.h"

namespace rattn {

// Control and unknown pieces (and "added_tokens_decoder" of the settings) are
// found in the text, as Hugging Face does; what lies between them is encoded
// on its own. Throws UserError that names the file and what is wrong: only
// models without a normalization table are read, as Llama, Mistral and Gemma
// have them.
std::unique_ptr<Tokenizer> LoadSentencePieceTokenizer(SourceFiles* files);

}  // namespace rattn
