#include "kernels/nearest.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <numeric>
#include <vector>

namespace rattn {

int EditDistance(std::string_view a, std::string_view b) {
  std::vector<int> row(b.size() + 1);
  std::iota(row.begin(), row.end(), 0);
  for (size_t i = 1; i <= a.size(); ++i) {
    int diagonal = row[0];
    row[0] = static_cast<int>(i);
    for (size_t j = 1; j <= b.size(); ++j) {
      const int substitute = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, substitute});
    }
  }
  return row.back();
}

std::string_view Nearest(std::string_view word,
                         std::span<const std::string_view> known) {
  std::string_view best;
  int best_distance = std::numeric_limits<int>::max();
  for (std::string_view candidate : known) {
    const int distance = EditDistance(word, candidate);
    if (distance < best_distance) {
      best_distance = distance;
      best = candidate;
    }
  }
  return 2 * best_distance > static_cast<int>(best.size()) ? "" : best;
}

std::string UnknownName(std::string_view what, std::string_view word,
                        std::span<const std::string_view> known) {
  const std::string_view near = Nearest(word, known);
  if (!near.empty()) {
    return fmt::format("unknown {} '{}': did you mean '{}'?", what, word, near);
  }
  return fmt::format("unknown {} '{}': known are {}", what, word,
                     fmt::join(known, ", "));
}

}  // namespace rattn
