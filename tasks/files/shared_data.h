// Real data sets for tests, not part of the repository: the folder `data` in
// $RATTN_SHARED, or in `shared` beside the source.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <string>

namespace rattn {

// "" if it is not there.
inline std::string SharedData() {
  const char* shared = std::getenv("RATTN_SHARED");
  const std::filesystem::path folder =
      shared != nullptr ? shared : RATTN_SOURCE_DIR "/../shared";
  std::error_code error;
  const auto data = folder / "data";
  return std::filesystem::is_directory(data / "mmlu", error) ? data.string()
                                                             : "";
}

}  // namespace rattn

#define RATTN_SKIP_WITHOUT_SHARED_DATA()                                     \
  if (rattn::SharedData().empty()) {                                         \
    GTEST_SKIP() << "no shared data sets: set RATTN_SHARED to their folder"; \
  }
