// Fields of train cells, and their meaning for the model layer.
#pragma once

#include <memory>
#include <string>

#include "harness/cell.h"
#include "harness/fields.h"
#include "models/runtime.h"
#include "tasks/task.h"

namespace rattn {

const Fields& TrainFields();

// Of complete values (NormalizeModel done).
TrainOptions TrainOptionsOf(const Json& values);
ExecutionOptions ExecutionOf(const Json& values);

// The task `name` with `params` for a cell of `values`. A parameter "$FIELD" is
// the cell's value of that field, left out where it is null; the training data
// follow the cell's seed unless the parameters name one. Throws UserErrors.
std::unique_ptr<Task> TaskOf(const std::string& name, const Json& params,
                             const Json& values);

// Axes and parameters of a cell in one object.
Json ValuesOf(const Cell& cell);

}  // namespace rattn
