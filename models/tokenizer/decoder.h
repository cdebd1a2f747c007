// Decoders of tokenizer.json: from pieces back to text.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "models/tokenizer/component.h"
#include "models/tokenizer/text_limit.h"

namespace rattn {

// Rewrites a list of pieces; the text is what they give when joined. Throws
// UserError beyond the limit.
using Decoder = std::function<void(std::vector<std::string>* pieces,
                                   const TextLimit& limit)>;

// Throws UserError that names an unsupported type.
Decoder MakeDecoder(const Component& component);

// The byte of a piece such as "<0x0A>", or -1.
int ByteOfPiece(std::string_view piece);

}  // namespace rattn
