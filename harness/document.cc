#include "harness/document.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <string_view>

namespace rattn {
namespace {

constexpr const char* kStyle = R"(
:root { color-scheme: light dark; --text: #1d1d1f; --soft: #5f6368;
  --line: #dadce0; --page: #ffffff; --link: #0b57d0; }
@media (prefers-color-scheme: dark) { :root { --text: #e8eaed;
  --soft: #9aa0a6; --line: #3c4043; --page: #1b1c1e; --link: #8ab4f8; } }
body { margin: 0 auto; padding: 2.5rem 1.25rem 5rem; max-width: 60rem;
  background: var(--page); color: var(--text);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
h1 { font-size: 1.8rem; line-height: 1.2; margin: 0 0 .3rem; }
h2 { font-size: 1.25rem; margin: 2.6rem 0 .6rem; padding-top: .6rem;
  border-top: 1px solid var(--line); }
p, ul, nav, figcaption { max-width: 44rem; }
figure { max-width: 41rem; }
.subtitle, figcaption, .missing { color: var(--soft); font-size: .9rem; }
nav ol { columns: 2; padding-left: 1.2rem; font-size: .95rem; }
a { color: var(--link); text-decoration: none; }
a:hover { text-decoration: underline; }
figure { margin: 1.4rem 0 2rem; }
.plot { background: #ffffff; color: #222; border: 1px solid var(--line);
  border-radius: 6px; padding: .4rem; overflow-x: auto; }
.table { overflow-x: auto; margin: 1rem 0; }
table { border-collapse: collapse; font-size: .86rem;
  font-variant-numeric: tabular-nums; }
th, td { padding: .28rem .7rem; text-align: right;
  border-bottom: 1px solid var(--line); }
th { white-space: nowrap; }
th { font-weight: 600; }
th.l, td.l { text-align: left; }
td.l:last-child { min-width: 12rem; }
li { margin: .25rem 0; }
@media print { nav { display: none; } }
)";

std::string Anchor(size_t section) { return fmt::format("s{}", section + 1); }

// Text inside <script> must not end the element; "<\/" means the same in
// strings and regular expressions.
std::string InScript(std::string text) {
  for (size_t at = 0; (at = text.find("</", at)) != std::string::npos; ++at) {
    constexpr std::string_view kName = "script";
    const std::string_view rest = std::string_view(text).substr(at + 2);
    const bool ends =
        rest.size() >= kName.size() &&
        std::equal(kName.begin(), kName.end(), rest.begin(),
                   [](char a, char b) {
                     return a == std::tolower(static_cast<unsigned char>(b));
                   });
    if (ends) text.insert(at + 1, 1, '\\');
  }
  return text;
}

class MarkdownBlocks {
 public:
  explicit MarkdownBlocks(std::string* out) : out_(*out) {}
  void operator()(const Paragraph& p) const { out_ += p.text + "\n\n"; }
  void operator()(const Bullets& bullets) const {
    for (const std::string& item : bullets.items) out_ += "- " + item + "\n";
    out_ += "\n";
  }
  void operator()(const TextTable& table) const {
    out_ += table.Markdown() + "\n";
  }
  void operator()(const Figure& figure) const {
    out_ += fmt::format("![{}](plots/{}.svg)\n\n{}\n\n", figure.title,
                        figure.name, figure.caption);
  }

 private:
  std::string& out_;
};

class HtmlBlocks {
 public:
  HtmlBlocks(bool interactive, std::string* out)
      : interactive_(interactive), out_(*out) {}
  void operator()(const Paragraph& p) const {
    out_ += "<p>" + EscapeHtml(p.text) + "</p>\n";
  }
  void operator()(const Bullets& bullets) const {
    out_ += "<ul>\n";
    for (const std::string& item : bullets.items) {
      out_ += "<li>" + EscapeHtml(item) + "</li>\n";
    }
    out_ += "</ul>\n";
  }
  void operator()(const TextTable& table) const { out_ += table.Html(); }
  void operator()(const Figure& figure) const {
    const std::string title = EscapeHtml(figure.title);
    const std::string image = fmt::format(
        "<img src=\"plots/{}.svg\" alt=\"{}\">", figure.name, title);
    out_ += "<figure>\n";
    out_ += interactive_ ? fmt::format(
                               "<div class=\"plot\" id=\"plot-{}\"></div>\n"
                               "<noscript>{}</noscript>\n",
                               figure.name, image)
                         : fmt::format("<div class=\"plot\">{}</div>\n", image);
    out_ += fmt::format(
        "<figcaption>{} <a href=\"plots/{}.svg\">SVG</a> &middot; "
        "<a href=\"plots/{}.vl.json\">data and "
        "specification</a></figcaption>\n</figure>\n",
        EscapeHtml(figure.caption), figure.name, figure.name);
  }

 private:
  bool interactive_;
  std::string& out_;
};

std::string Contents(const Document& document) {
  std::string nav = "<nav><ol>\n";
  for (size_t i = 0; i < document.sections.size(); ++i) {
    if (document.sections[i].blocks.empty()) continue;
    nav += fmt::format("<li><a href=\"#{}\">{}</a></li>\n", Anchor(i),
                       EscapeHtml(document.sections[i].title));
  }
  return nav + "</ol></nav>\n";
}

std::string Scripts(const Document& document, const std::string& bundle) {
  Json specs = Json::object();
  for (const Figure* figure : FiguresOf(document)) {
    specs["plot-" + figure->name] = figure->spec;
  }
  return "<script>\n" + InScript(bundle) +
         "\n</script>\n<script>\nconst specs = " + InScript(specs.dump()) + R"(;
const options = {renderer: "svg", actions: {export: true, source: false,
  compiled: false, editor: false}};
for (const [id, spec] of Object.entries(specs)) {
  vegaEmbed("#" + CSS.escape(id), spec, options).catch(error => {
    document.getElementById(id).textContent = "cannot draw: " + error;
  });
}
</script>
)";
}

}  // namespace

std::vector<const Figure*> FiguresOf(const Document& document) {
  std::vector<const Figure*> figures;
  for (const Section& section : document.sections) {
    for (const Block& block : section.blocks) {
      if (const auto* figure = std::get_if<Figure>(&block)) {
        figures.push_back(figure);
      }
    }
  }
  return figures;
}

std::string ToMarkdown(const Document& document) {
  std::string out =
      fmt::format("# {}\n\n{}\n\n", document.title, document.subtitle);
  for (const Section& section : document.sections) {
    if (section.blocks.empty()) continue;
    out += fmt::format("## {}\n\n", section.title);
    for (const Block& block : section.blocks) {
      std::visit(MarkdownBlocks(&out), block);
    }
  }
  while (out.ends_with("\n\n")) out.pop_back();
  return out;
}

std::string ToHtml(const Document& document, const std::string& bundle) {
  std::string out = fmt::format(
      "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, "
      "initial-scale=1\">\n<title>{}</title>\n<style>{}</style>\n</head>\n"
      "<body>\n<h1>{}</h1>\n<p class=\"subtitle\">{}</p>\n",
      EscapeHtml(document.title), kStyle, EscapeHtml(document.title),
      EscapeHtml(document.subtitle));
  out += Contents(document);
  for (size_t i = 0; i < document.sections.size(); ++i) {
    const Section& section = document.sections[i];
    if (section.blocks.empty()) continue;
    out += fmt::format("<h2 id=\"{}\">{}</h2>\n", Anchor(i),
                       EscapeHtml(section.title));
    for (const Block& block : section.blocks) {
      std::visit(HtmlBlocks(!bundle.empty(), &out), block);
    }
  }
  if (!bundle.empty()) out += Scripts(document, bundle);
  return out + "</body>\n</html>\n";
}

}  // namespace rattn
