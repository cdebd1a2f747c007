// rattn mask: what a query sees, so that nobody has to guess which of the
// four ways to count a window a figure uses.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <memory>

#include "harness/mixer_fields.h"
#include "harness/text_format.h"
#include "harness/verb_functions.h"
#include "kernels/catalog.h"
#include "kernels/window.h"
#include "models/error.h"
#include "models/json_fields.h"

namespace rattn {
namespace {

// How a convention's number relates to window_keys.
struct Convention {
  const char* name;
  int64_t offset;  // window_keys = number + offset
  const char* meaning;
};
constexpr std::array kConventions = {
    Convention{"window_keys", 0, "keys a query sees, itself included"},
    Convention{"paper", 1, "w: largest distance i - j that is seen"},
    Convention{"flash-attention", 1, "left window: keys before the query"},
    Convention{"mistral", 0, "sliding_window: keys, the query's included"},
};

struct MaskOptions {
  std::string variant = "rattention";
  std::string convention = "window_keys";
  int64_t window = 0;
  int64_t sinks = -1;
  int64_t length = 16;
  bool json = false;
};

const Convention& FindConvention(const std::string& name) {
  return *std::find_if(kConventions.begin(), kConventions.end(),
                       [&](const Convention& c) { return name == c.name; });
}

struct Row {
  KeyRange window;
  KeyRange sinks;  // those outside the window
  KeyRange memory;
};

Row RowOf(const MixerSpec& spec, int64_t query) {
  Row row;
  if (HasLocal(spec)) {
    row.window = WindowRange(query, LocalWindow(spec.local));
    row.sinks = {0, std::min(SinkCount(spec.local), row.window.begin)};
  }
  if (HasMemory(spec)) row.memory = {0, query - MemoryDelay(spec) + 1};
  return row;
}

std::string RangeText(const KeyRange& range) {
  if (range.size() == 0) return "-";
  return range.size() == 1 ? fmt::format("{}", range.begin)
                           : fmt::format("{}..{}", range.begin, range.end - 1);
}

Json RangeJson(const KeyRange& range) {
  if (range.size() == 0) return nullptr;
  return {{"first", range.begin}, {"last", range.end - 1}};
}

// '#' window, 's' sink, 'm' memory, '.' nothing.
std::string Picture(const MixerSpec& spec, int64_t query, int64_t length) {
  std::string line;
  for (int64_t key = 0; key < length; ++key) {
    const bool seen = LocalVisible(spec.local, query, key);
    const bool near = seen && query - key < LocalWindow(spec.local);
    const bool read = MemoryVisible(spec, query, key);
    line += near && read ? '*' : near ? '#' : seen ? 's' : read ? 'm' : '.';
  }
  return line;
}

constexpr int64_t kPictureLength = 80;
constexpr int64_t kMostRows = 64;

// All queries of a short sequence; of a long one the edges, where something
// changes, and the end.
std::vector<int64_t> ShownQueries(const MixerSpec& spec, int64_t length) {
  std::vector<int64_t> queries;
  const int64_t window =
      HasLocal(spec) ? LocalWindow(spec.local) : MemoryDelay(spec);
  for (int64_t i = 0; i < length; ++i) {
    if (length <= kMostRows) {
      queries.push_back(i);
      continue;
    }
    // A jump over the uneventful middle, however long it is.
    const bool edge = i < 3 || std::abs(i - window) <= 2 || i >= length - 3;
    if (edge) {
      queries.push_back(i);
    } else {
      const int64_t next = i < window - 2 ? window - 2 : length - 3;
      i = std::max(i, std::min(next, length - 3) - 1);
    }
  }
  return queries;
}

void PrintText(const MixerSpec& spec, const MaskOptions& options,
               bool takes_window, int64_t window_keys) {
  fmt::print("{}: {}\n", options.variant, Describe(spec));
  if (takes_window) {
    for (const Convention& c : kConventions) {
      fmt::print("  {:<16}{:>8}   {}\n", c.name, window_keys - c.offset,
                 c.meaning);
    }
  }
  const bool picture = options.length <= kPictureLength;
  std::vector<std::string> header = {"query", "window", "sinks", "memory"};
  if (picture) {
    header.push_back("(# window, s sink, m memory, * window and memory)");
  }
  TextTable table(header, {4});
  for (const int64_t query : ShownQueries(spec, options.length)) {
    const Row row = RowOf(spec, query);
    std::vector<std::string> cells = {
        fmt::format("{}", query), RangeText(row.window), RangeText(row.sinks),
        RangeText(row.memory)};
    if (picture) cells.push_back(Picture(spec, query, options.length));
    table.Add(cells);
  }
  fmt::print("{}", table.Plain());
}

void PrintJson(const MixerSpec& spec, const MaskOptions& options,
               bool takes_window, int64_t window_keys) {
  Json conventions = Json::object();
  for (const Convention& c : kConventions) {
    if (takes_window) conventions[c.name] = window_keys - c.offset;
  }
  Json queries = Json::array();
  for (const int64_t query : ShownQueries(spec, options.length)) {
    const Row row = RowOf(spec, query);
    queries.push_back({{"query", query},
                       {"window", RangeJson(row.window)},
                       {"sinks", RangeJson(row.sinks)},
                       {"memory", RangeJson(row.memory)}});
  }
  const Json json = {
      {"variant", options.variant},
      {"spec", Describe(spec)},
      {"window_keys", takes_window ? Json(window_keys) : Json()},
      {"conventions", conventions},
      {"length", options.length},
      {"visible_pairs", VisiblePairs(spec.local, options.length)},
      {"queries", queries}};
  fmt::print("{}\n", json.dump(2));
}

int RunMask(const MaskOptions& options, bool window_given) {
  const Variant& variant = GetVariant(options.variant, "--variant");
  if (variant.takes_window && !window_given) {
    throw UserError(fmt::format("variant {} needs --window", variant.name));
  }
  if (options.length < 1 || options.length > int64_t{1} << 40) {
    throw UserError(
        fmt::format("--length must be from 1 to 2^40, not {}", options.length));
  }
  const int64_t window_keys =
      window_given ? options.window + FindConvention(options.convention).offset
                   : 0;
  MixerSpec spec;
  std::string reason;
  if (!MakeSpec(variant, {window_keys, options.sinks}, &spec, &reason)) {
    const bool window_wrong = variant.takes_window && window_keys < 1;
    throw UserError(window_wrong
                        ? fmt::format("--window {} ({}): {}", options.window,
                                      options.convention, reason)
                        : reason);
  }
  (options.json ? PrintJson : PrintText)(spec, options, variant.takes_window,
                                         window_keys);
  return kExitDone;
}

}  // namespace

void AddMask(CLI::App& app, Action* action) {
  auto options = std::make_shared<MaskOptions>();
  std::vector<std::string> names;
  for (const Convention& c : kConventions) names.emplace_back(c.name);
  app.add_option("--variant", options->variant, "variant of the catalog")
      ->capture_default_str();
  CLI::Option* window =
      app.add_option("--window", options->window, "window, see --convention");
  app.add_option("--convention", options->convention,
                 "what --window counts: window_keys and mistral count the "
                 "query itself, paper and flash-attention do not")
      ->check(CLI::IsMember(names))
      ->capture_default_str();
  app.add_option("--sinks", options->sinks, "leading keys that stay visible")
      ->check(kAtLeastZero);
  app.add_option("--length", options->length, "tokens of the sequence")
      ->capture_default_str();
  app.add_flag("--json", options->json, "machine-readable output");
  *action = [options, window] {
    return RunMask(*options, window->count() > 0);
  };
}

}  // namespace rattn
