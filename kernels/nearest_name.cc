#include "kernels/nearest_name.h"

#include <algorithm>
#include <cctype>

namespace rattn {
namespace {

// Longer names than this are cut: the hint is for typing errors, and the
// distance costs the product of the lengths.
constexpr size_t kLongestName = 128;
constexpr size_t kShortestPrefix = 3;
constexpr size_t kListed = 8;  // names listed where none is near

std::string Folded(std::string_view name) {
  std::string folded(name.substr(0, kLongestName));
  for (char& c : folded) {
    c = c == '_'
            ? '-'
            : static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  }
  return folded;
}

int Edits(std::string_view a, std::string_view b) {
  const std::string x = Folded(a), y = Folded(b);
  // An abbreviation ("before" for "before_rope") counts as one edit.
  if (x.size() >= kShortestPrefix && y.size() > x.size() && y.starts_with(x)) {
    return 1;
  }
  std::vector<int> before(y.size() + 1), above(y.size() + 1), row(y.size() + 1);
  for (size_t j = 0; j <= y.size(); ++j) row[j] = static_cast<int>(j);
  for (size_t i = 1; i <= x.size(); ++i) {
    std::swap(before, above);
    std::swap(above, row);
    row[0] = static_cast<int>(i);
    for (size_t j = 1; j <= y.size(); ++j) {
      row[j] = std::min({above[j] + 1, row[j - 1] + 1,
                         above[j - 1] + (x[i - 1] != y[j - 1])});
      if (i > 1 && j > 1 && x[i - 1] == y[j - 2] && x[i - 2] == y[j - 1]) {
        row[j] = std::min(row[j], before[j - 2] + 1);
      }
    }
  }
  return row[y.size()];
}

}  // namespace

std::string NearestName(std::string_view name,
                        const std::vector<std::string>& candidates) {
  std::string nearest;
  int least = -1;
  for (const std::string& candidate : candidates) {
    const int distance = Edits(name, candidate);
    if (least < 0 || distance < least) {
      least = distance;
      nearest = candidate;
    }
  }
  return nearest;
}

std::string NearestHint(std::string_view name,
                        const std::vector<std::string>& candidates) {
  if (candidates.empty()) return "";
  const std::string nearest = NearestName(name, candidates);
  // More than half of the letters changed is another word, not a slip.
  const size_t letters = std::min(name.size(), kLongestName);
  if (2 * static_cast<size_t>(Edits(name, nearest)) <= letters + 1) {
    return "; did you mean \"" + nearest + "\"?";
  }
  std::string known;
  for (size_t i = 0; i < std::min(candidates.size(), kListed); ++i) {
    known += (known.empty() ? "" : ", ") + candidates[i];
  }
  return "; there are " + known + (candidates.size() > kListed ? ", ..." : "");
}

}  // namespace rattn
