// Real data sets for tests, not part of the repository: the folder `data` in
// $RATTN_SHARED, or in `shared` beside the source.
#pragma once

#include <filesystem>
#include <string>

#include "models/shared_test_util.h"

namespace rattn {

// "" if it is not there.
inline std::string SharedData() {
  std::error_code error;
  const auto data = SharedPath("data");
  return std::filesystem::is_directory(data / "mmlu", error) ? data.string()
                                                             : "";
}

}  // namespace rattn

#define RATTN_SKIP_WITHOUT_SHARED_DATA()                                     \
  if (rattn::SharedData().empty()) {                                         \
    GTEST_SKIP() << "no shared data sets: set RATTN_SHARED to their folder"; \
  }
