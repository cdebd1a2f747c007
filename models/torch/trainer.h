// The training loop behind ModelRuntime::Train.
#pragma once

#include <functional>
#include <string>

#include "models/runtime.h"

namespace rattn {

// As ModelRuntime::Train. An empty `checkpoint` keeps nothing.
TrainResult TrainModel(
    const ModelConfig& config, const TrainOptions& options,
    const ExecutionOptions& execution, const BatchSource& data,
    const std::string& checkpoint,
    const std::function<bool(const TrainProgress&)>& progress);

}  // namespace rattn
