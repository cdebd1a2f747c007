// Where configs live. The configs folder is RATTN_CONFIGS, or a folder
// `configs` beside the program or up to four folders above it, or that of the
// source tree.
#pragma once

#include <string>
#include <vector>

namespace rattn {

// Throws UserError that says how to name the folder.
std::string ConfigsFolder();

// Names (files without .json) in configs/`kind` ("models", "hardware"; "" =
// the folder itself, where sweeps are), sorted. Empty if there is no folder.
std::vector<std::string> ListConfigs(const std::string& kind);

// Path of `name_or_path`: a path (with / or ending in .json) as it stands, or
// the file of that name in configs/`kind`. Throws UserError that names the
// nearest known name.
std::string FindConfig(const std::string& kind,
                       const std::string& name_or_path);

}  // namespace rattn
