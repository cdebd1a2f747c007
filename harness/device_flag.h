// --device of the verbs that run a model: short for a backend.
#pragma once

#include <string>

namespace rattn {

inline constexpr const char* kDeviceHelp =
    "where the model runs: cpu, or cuda (short for --backend cuda)";

// The backend that runs models on `device`; `backend` is that of --backend.
// Either may be empty: not given. Throws UserError where the two contradict.
std::string BackendOn(const std::string& device, const std::string& backend);

}  // namespace rattn
