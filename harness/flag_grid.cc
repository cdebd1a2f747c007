#include "harness/flag_grid.h"

#include <fmt/format.h>

namespace rattn {

FlagGrid::FlagGrid(CLI::App& app, const Fields& fields,
                   std::span<const FieldFlag> flags, Json base)
    : base_(std::move(base)) {
  for (const FieldFlag& flag : flags) {
    const Field& field = *FindField(fields, flag.field);
    const Json& fallback =
        base_.contains(flag.field) ? base_[flag.field] : field.fallback;
    std::string help = field.help;
    if (!fallback.is_null()) {
      help += fmt::format(" (default: {})", ValueText(fallback));
    }
    given_.push_back({flag.field, {}});
    CLI::Option* option = app.add_option(flag.flag, given_.back().texts,
                                         flag.list ? help + "; a list" : help);
    if (flag.list) {
      option->delimiter(',');
    } else {
      option->expected(1);
    }
  }
}

std::vector<Json> FlagGrid::Combinations(const Json& more) const {
  std::vector<Json> all = {base_};
  all.front().update(more);
  for (const Given& given : given_) {
    if (given.texts.empty()) continue;
    std::vector<Json> next;
    for (const Json& values : all) {
      for (const std::string& text : given.texts) {
        next.push_back(values);
        next.back()[given.field] = ParseValue(text);
      }
    }
    all = std::move(next);
  }
  return all;
}

}  // namespace rattn
