// Where the source tree is that this program was built from.
#pragma once

#include <filesystem>

namespace rattn {

// In one translation unit alone, so that compiler caches serve all checkouts.
std::filesystem::path SourceFolder();

}  // namespace rattn
