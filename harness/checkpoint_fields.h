// The fields that name a checkpoint from disk and how it runs.
#pragma once

#include <string>

#include "harness/checkpoint_files.h"
#include "harness/fields.h"

namespace rattn {

// model, folder, the mixer imposed on it and its layers, dtype, backend,
// threads.
Fields CheckpointFields();

// Brings them into their one spelling. Throws UserErrors that begin with
// `origin`.
void NormalizeCheckpoint(Json& values, const std::string& origin);

// Of normalised values. Throws UserError where there is no such folder.
CheckpointSpec CheckpointOf(const Json& values);

}  // namespace rattn
