// Regular expressions of tokenizer files, by PCRE2.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace rattn {

struct ByteRange {
  size_t begin = 0;
  size_t end = 0;  // one behind the last byte
};

class Regex {
 public:
  // `pattern` in Oniguruma's syntax. Throws UserError that begins with `where`.
  Regex(const std::string& pattern, const std::string& where);

  // Matches of valid UTF-8 from left to right, none of them empty. Throws
  // UserError where the search takes unreasonably many steps: patterns come
  // from files that nobody vouches for.
  void FindAll(std::string_view text, std::vector<ByteRange>* matches) const;

 private:
  struct Code;
  std::shared_ptr<const Code> code_;
};

}  // namespace rattn
