// Pre-tokenizers of tokenizer.json: where a text is cut into words that the
// model never merges across.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "models/tokenizer/component.h"
#include "models/tokenizer/regex.h"
#include "models/tokenizer/text_limit.h"

namespace rattn {

struct Words {
  std::string text;               // valid UTF-8
  std::vector<ByteRange> ranges;  // of `text`, in order, none of them empty
  bool at_start = true;           // the first word begins the whole input
  TextLimit limit;
};

using PreTokenizer = std::function<void(Words* words)>;

// Throws UserError that names an unsupported type.
PreTokenizer MakePreTokenizer(const Component& component);

}  // namespace rattn
