// The nearest known word to a mistyped one, for error messages.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace rattn {

// Insertions, deletions and substitutions that turn `a` into `b`.
int EditDistance(std::string_view a, std::string_view b);

// The closest of `known`, or an empty view when none is close enough to be
// what the user meant (more than half of its letters differ).
std::string_view Nearest(std::string_view word,
                         std::span<const std::string_view> known);

// "unknown variant 'rattntion': did you mean 'rattention'?", or the list of
// what is known where nothing is near.
std::string UnknownName(std::string_view what, std::string_view word,
                        std::span<const std::string_view> known);

}  // namespace rattn
