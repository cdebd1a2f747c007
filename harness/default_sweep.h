// configs/quick.json as it was at build time: what `rattn sweep` runs when no
// config is named (cmake/RattnEmbed.cmake writes the definition).
#pragma once

#include <string_view>

namespace rattn {

extern const std::string_view kDefaultSweep;

}  // namespace rattn
