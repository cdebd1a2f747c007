// "Did you mean": the nearest known name, for keys, flags and names alike.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace rattn {

// The candidate with the fewest single-character edits (insert, delete,
// replace, swap of neighbours; case and the choice of - or _ are free; an
// abbreviation is one edit), the first of equals; "" if there is no candidate.
std::string NearestName(std::string_view name,
                        const std::vector<std::string>& candidates);

// "; did you mean \"x\"?", or "" without candidates: the end of an error line.
std::string NearestHint(std::string_view name,
                        const std::vector<std::string>& candidates);

}  // namespace rattn
