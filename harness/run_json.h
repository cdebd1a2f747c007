// run.json: what made the cells of a run.
#pragma once

#include <cstdint>
#include <string>

#include "models/json_fields.h"

namespace rattn {

std::string UtcNow();

// Instruction set, commit and version, kept with every cell: later sessions of
// a run may be made by others.
const Json& MadeBy();

// Facts of this process: started, finished (null), machine, build, argv.
Json SessionFacts();

// `now` (facts and config of this session) over `before` (run.json as it is;
// null if there is none): `started` stays the first one; machine, build and
// argv are those of the last session that ran a cell; `sessions` lists all that
// did.
Json MergeRunJson(const Json& before, const Json& now, int64_t ran);

}  // namespace rattn
