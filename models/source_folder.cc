#include "models/source_folder.h"

namespace rattn {

std::filesystem::path SourceFolder() { return RATTN_SOURCE_DIR; }

}  // namespace rattn
