// Tokenizer files write regular expressions for Oniguruma; PCRE2 reads nearly
// the same syntax. This translates what differs.
#pragma once

#include <string>
#include <string_view>

namespace rattn {

// The pattern for PCRE2 (UTF, UCP, MULTILINE). \s, \w and \h get Oniguruma's
// meaning. Where the two differ in ways that are not translated, `problem` is
// set to what stands in the way and the result means nothing.
std::string ToPcreSyntax(std::string_view pattern, std::string* problem);

}  // namespace rattn
