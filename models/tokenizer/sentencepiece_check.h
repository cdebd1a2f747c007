// A look at a SentencePiece model before the library gets it: the library
// trusts normalization tables, whose offsets can lead anywhere.
#pragma once

#include <string>
#include <string_view>

namespace rattn {

// "" if the bytes are protobuf as far as needed and no table is in them; else
// what is wrong.
std::string SentencePieceProblem(std::string_view model);

}  // namespace rattn
