// Where checkpoints and data sets are, and what their files hold.
#pragma once

#include <string>

#include "models/json_fields.h"
#include "models/overrides.h"
#include "models/runtime.h"

namespace rattn {

// Whether FindCheckpoint finds one.
bool IsCheckpoint(const std::string& name);

// The folder `name`, or the one of that name among those that
// scripts/get_models keeps. Throws UserError that says how to get one.
std::string FindCheckpoint(const std::string& name);

// The folder `given`, else $RATTN_DATA. Throws UserError.
std::string FindDataFolder(const std::string& given);

// {"weights": SHA-256 over the .safetensors files, "config": of config.json}.
// Files whose size and time have not changed are not read again.
Json HashCheckpoint(const std::string& folder);

// fp32 or bf16 for these names, PyTorch's (float32, bfloat16) and "auto": as
// the checkpoint's config.json says; fp16, which nothing here computes in, is
// fp32 then. Throws UserError.
std::string CheckpointDtype(const std::string& name, const std::string& folder);

// A checkpoint with everything that its answers depend on.
struct CheckpointSpec {
  std::string folder;
  MixerOverrides overrides;
  ExecutionOptions execution;
};

// Hashes of weights, config and tokenizer, overrides, dtype, backend, and the
// program's files and instruction set. Batches and threads change no answer.
Json CheckpointIdentity(const CheckpointSpec& spec,
                        const std::string& tokenizer_fingerprint);
// Stands for an identity in the keys of requests.
std::string ModelKey(const Json& identity);
// The journal of its answers in the cache.
std::string JournalPath(const Json& identity);

}  // namespace rattn
