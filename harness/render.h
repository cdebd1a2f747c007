// SVG files from Vega-Lite specifications, by the renderer that set-up brings.
#pragma once

#include <string>

namespace rattn {

struct Rendered {
  std::string bundle;   // JavaScript for interactive pages; "" if unavailable
  std::string problem;  // why something was not rendered, in one line; or ""
};

// Renders every *.vl.json in `folder` to an .svg beside it (only those that
// changed). Does not throw: without the renderer a report has no pictures.
Rendered RenderPlots(const std::string& folder);

}  // namespace rattn
