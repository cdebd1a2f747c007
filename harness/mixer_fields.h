// The fields that name a mixer: variant, window_keys, sinks.
#pragma once

#include <string>

#include "harness/fields.h"
#include "kernels/mixer_spec.h"

namespace rattn {

// The variant of that name. Throws UserError that names the nearest one.
const struct Variant& GetVariant(const std::string& name,
                                 const std::string& origin);

// Sets window_keys and sinks to null where the variant takes none, sinks to
// the catalog's value where left open, and throws UserErrors that begin with
// `origin` for an impossible mixer.
void NormalizeMixer(Json& values, const std::string& origin);

// Of normalised values.
MixerSpec MixerOf(const Json& values, const std::string& origin);

// Integer value, or `absent` where null.
int64_t IntegerOr(const Json& value, int64_t absent);

}  // namespace rattn
