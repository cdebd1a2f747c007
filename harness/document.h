// A page as blocks, written as Markdown or as one HTML file that opens from
// disk without a network.
#pragma once

#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "harness/text_format.h"
#include "models/json_fields.h"

namespace rattn {

struct Paragraph {
  std::string text;
};
struct Bullets {
  std::vector<std::string> items;
};
// A figure: plots/`name`.svg for readers, `spec` for the interactive page.
struct Figure {
  std::string name;
  std::string title;
  std::string caption;
  Json spec;
};
using Block = std::variant<Paragraph, Bullets, TextTable, Figure>;

struct Section {
  std::string title;
  std::vector<Block> blocks;
};

struct Document {
  std::string title;
  std::string subtitle;
  std::vector<Section> sections;  // empty ones are left out
};

std::string ToMarkdown(const Document& document);

// `bundle` is the JavaScript that defines vegaEmbed; without it figures are
// links to their SVG files.
std::string ToHtml(const Document& document, const std::string& bundle);

// Every figure of the document, in order.
std::vector<const Figure*> FiguresOf(const Document& document);

}  // namespace rattn
