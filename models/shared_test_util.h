// Test vectors and data sets that are no part of the repository. Looked for
// in $RATTN_SHARED and beside the source.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "models/json_fields.h"
#include "models/source_folder.h"

namespace rattn {

inline std::filesystem::path SharedPath(const std::string& below) {
  const char* shared = std::getenv("RATTN_SHARED");
  return (shared ? std::filesystem::path(shared)
                 : SourceFolder() / "../shared") /
         below;
}

inline Json SharedJson(const std::filesystem::path& path) {
  std::ifstream in(path);
  return Json::parse(in);
}

}  // namespace rattn

// For the body of a test: `file` becomes the path, or the test is skipped.
#define RATTN_SHARED_OR_SKIP(file, below)                                \
  const std::filesystem::path file = ::rattn::SharedPath(below);         \
  if (!std::filesystem::exists(file)) {                                  \
    GTEST_SKIP() << "no " << file << ": set RATTN_SHARED to its folder"; \
  }
