// Test vectors and data sets that are no part of the repository. Looked for
// in $RATTN_SHARED and beside the source.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "models/json_fields.h"

namespace rattn {

inline std::filesystem::path SharedPath(const std::string& below) {
  const char* shared = std::getenv("RATTN_SHARED");
  return std::filesystem::path(shared ? shared
                                      : RATTN_SOURCE_DIR "/../shared") /
         below;
}

inline Json SharedJson(const std::filesystem::path& path) {
  std::ifstream in(path);
  return Json::parse(in);
}

}  // namespace rattn

// For the body of a test: `path` becomes the file, or the test is skipped.
#define RATTN_SHARED_OR_SKIP(path, below)                                \
  const std::filesystem::path path = ::rattn::SharedPath(below);         \
  if (!std::filesystem::exists(path)) {                                  \
    GTEST_SKIP() << "no " << path << ": set RATTN_SHARED to its folder"; \
  }
