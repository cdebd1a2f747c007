// Files that are either wholly there or not there at all.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace rattn {

// Writes the pieces one after another to a temporary file beside `path`,
// flushes it to the disk and renames it over `path`. Throws RunError.
void WriteFileAtomically(const std::string& path,
                         std::span<const std::string_view> pieces);

}  // namespace rattn
