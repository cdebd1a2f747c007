#include "harness/findings.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "harness/crossover.h"
#include "harness/report_summary.h"
#include "harness/report_text.h"
#include "harness/text_format.h"
#include "kernels/catalog.h"

namespace rattn {
namespace {

using Answer = Finding::Answer;

// What the catalog says of a point's mixer.
const MixerSpec* SpecOf(const Point& point) {
  const Variant* variant = FindVariant(point.Text("variant"));
  return variant == nullptr ? nullptr : &variant->spec;
}
bool IsWindow(const Point& point) {
  const MixerSpec* spec = SpecOf(point);
  return spec != nullptr && Window(point) && HasLocal(*spec) &&
         !HasMemory(*spec);
}
bool IsWindowWithMemory(const Point& point) {
  const MixerSpec* spec = SpecOf(point);
  return spec != nullptr && Window(point) && HasLocal(*spec) &&
         HasMemory(*spec);
}

// Points of one task and facet, one length.
struct Group {
  std::string name;  // "two_hop, pattern LL"
  Points points;
};

std::vector<Group> GroupsOf(const std::string& task, const Points& points) {
  const Facets facets(points, {"pattern"});
  std::vector<Group> groups;
  for (const Point* point : points) {
    const std::string label = facets.Label(*point);
    const std::string name = label.empty() ? task : task + ", " + label;
    auto it = std::find_if(groups.begin(), groups.end(),
                           [&](const Group& g) { return g.name == name; });
    if (it == groups.end()) it = groups.insert(it, {name, {}});
    it->points.push_back(point);
  }
  return groups;
}

class GroupFindings {
 public:
  GroupFindings(const ReportInput& input, const Group& group,
                std::vector<Finding>* out)
      : input_(input), group_(group), out_(out) {
    for (const Point* point : group.points) {
      if (IsFullAttention(*point)) full_ = point;
      if (Window(*point)) by_series_[input.Series(*point)].push_back(point);
    }
    for (auto& [series, points] : by_series_) {
      std::sort(points.begin(), points.end(),
                [](const Point* a, const Point* b) {
                  return *Window(*a) < *Window(*b);
                });
    }
  }

  void Run() {
    if (full_ == nullptr) {
      Add("baseline", Answer::kFact,
          "there is no full attention to compare with");
    } else {
      for (const std::string& series : input_.series) SmallestWindow(series);
      for (const std::string& series : input_.series) WindowBelowFull(series);
    }
    for (const std::string& series : input_.series) MemoryAboveWindow(series);
  }

 private:
  void Add(const char* rule, Answer answer, std::string text) {
    out_->push_back({rule, group_.name, answer, std::move(text)});
  }

  // The smallest window from which on no larger one is clearly worse.
  void SmallestWindow(const std::string& series) {
    const auto it = by_series_.find(series);
    if (it == by_series_.end()) return;
    const Point* smallest = SmallestWindowThatLosesNothing(it->second, *full_);
    if (smallest == nullptr) {
      const Point& largest = *it->second.back();
      const std::string which =
          it->second.size() == 1
              ? fmt::format("not W={}, the only window measured",
                            *Window(largest))
              : fmt::format("none up to W={}", *Window(largest));
      Add("smallest window that loses nothing", Answer::kNo,
          fmt::format("{}: {}; its {} is worse than full ({}) outside both "
                      "bars",
                      series, which, ValueText(largest), ValueText(*full_)));
      return;
    }
    Add("smallest window that loses nothing", Answer::kYes,
        fmt::format("{}: W={} ({}, full {})", series, *Window(*smallest),
                    ValueText(*smallest), ValueText(*full_)));
  }

  void WindowBelowFull(const std::string& series) {
    const auto it = by_series_.find(series);
    if (it == by_series_.end() || !IsWindow(*it->second.front())) return;
    const Point& point = *it->second.front();
    const bool below = ClearlyBetter(*full_, point);
    const std::string text =
        below ? fmt::format("{} ({}) is clearly worse than full ({})",
                            Named(input_, point), ValueText(point),
                            ValueText(*full_))
              : fmt::format(
                    "{} ({}) is NOT clearly worse than full ({}): the "
                    "bars touch or it is better",
                    Named(input_, point), ValueText(point), ValueText(*full_));
    Add("a small window alone loses", below ? Answer::kYes : Answer::kNo, text);
  }

  void MemoryAboveWindow(const std::string& series) {
    const auto it = by_series_.find(series);
    if (it == by_series_.end() || !IsWindowWithMemory(*it->second.front())) {
      return;
    }
    for (const std::string& other : input_.series) {
      std::vector<std::string> parts;
      bool above_at_smallest = false;
      for (const Point* memory : it->second) {
        const Point* window = SameWindow(other, *memory);
        if (window == nullptr || !IsWindow(*window)) continue;
        const bool above = ClearlyBetter(*memory, *window);
        if (parts.empty()) above_at_smallest = above;
        const bool below = ClearlyBetter(*window, *memory);
        parts.push_back(fmt::format(
            "{} at W={} ({}, {} {})",
            above   ? "clearly better"
            : below ? "clearly WORSE"
                    : "NOT clearly better (the bars touch)",
            *Window(*memory), ValueText(*memory), other, ValueText(*window)));
      }
      if (parts.empty()) continue;
      Add("a memory makes up for a small window",
          above_at_smallest ? Answer::kYes : Answer::kNo,
          fmt::format("{} against {}: {}", series, other,
                      fmt::join(parts, "; ")));
    }
  }

  const Point* SameWindow(const std::string& series, const Point& like) const {
    const auto it = by_series_.find(series);
    if (it == by_series_.end()) return nullptr;
    for (const Point* point : it->second) {
      if (Window(*point) == Window(like)) return point;
    }
    return nullptr;
  }

  const ReportInput& input_;
  const Group& group_;
  std::vector<Finding>* out_;
  const Point* full_ = nullptr;
  std::map<std::string, Points> by_series_;
};

// How far scores are from guessing, per part of the score.
void AddChance(const ReportInput& input, const std::string& task,
               std::vector<Finding>* out) {
  const Points headline = input.Scores(task);
  const auto length = headline.front()->Number("length");
  std::vector<std::string> order;
  std::map<std::string, std::pair<int, int>> counts;  // above, all
  std::map<std::string, const Point*> any;
  for (const Point& point : input.points) {
    if (point.kind != "eval" || point.Text("task") != task || !point.chance ||
        point.Number("length") != length) {
      continue;
    }
    if (!counts.contains(point.metric)) order.push_back(point.metric);
    const bool above = point.better == Better::kLower
                           ? point.high < *point.chance
                           : point.low > *point.chance;
    counts[point.metric].first += above;
    counts[point.metric].second += 1;
    any[point.metric] = &point;
  }
  // Scores with the same answer are one line.
  std::vector<std::pair<std::pair<int, int>, std::string>> lines;
  for (const std::string& metric : order) {
    const auto it = std::find_if(
        lines.begin(), lines.end(),
        [&](const auto& line) { return line.first == counts[metric]; });
    const std::string name =
        fmt::format("{} ({})", metric, FormatNumber(*any[metric]->chance, 3));
    if (it == lines.end()) {
      lines.push_back({counts[metric], name});
    } else {
      it->second += ", " + name;
    }
  }
  for (const auto& [count, names] : lines) {
    out->push_back(
        {"better than guessing", task, Answer::kFact,
         fmt::format("{} of {} points are clearly better than chance (in "
                     "brackets): {}",
                     count.first, count.second, names)});
  }
}

// What is left of a score at the longest length, smallest window of a series.
void AddLengths(const ReportInput& input, const std::string& task,
                std::vector<Finding>* out) {
  const Points all = input.Scores(task, /*all_lengths=*/true);
  const auto lengths = DistinctNumbers(all, "length");
  if (lengths.size() < 2) return;
  for (const Group& group : GroupsOf(task, all)) {
    for (const std::string& series : input.series) {
      const Point *first = nullptr, *last = nullptr;
      for (const Point* point : group.points) {
        if (input.Series(*point) != series) continue;
        const bool smaller =
            first == nullptr || Window(*point) < Window(*first);
        if (point->Number("length") == lengths.front() && smaller) {
          first = point;
        }
      }
      for (const Point* point : group.points) {
        if (first != nullptr && input.Series(*point) == series &&
            Window(*point) == Window(*first) &&
            point->Number("length") == lengths.back()) {
          last = point;
        }
      }
      if (last == nullptr) continue;
      out->push_back(
          {"beyond the training length", group.name, Answer::kFact,
           fmt::format("{}: {} at {} tokens, {} at {} ({}x)",
                       Named(input, *first), ValueText(*first), lengths.front(),
                       ValueText(*last), lengths.back(),
                       FormatNumber(lengths.back() / lengths.front(), 3))});
    }
  }
}

// Those that are faster throughout are one line per range of contexts.
void AddCrossovers(const ReportInput& input, std::vector<Finding>* out) {
  constexpr const char* kRule = "speed against full attention";
  for (const Crossover& crossover : FindCrossovers(input)) {
    const std::string group = crossover.group.empty()
                                  ? crossover.phase
                                  : crossover.phase + ", " + crossover.group;
    if (!crossover.always) {
      out->push_back({kRule, group,
                      crossover.context ? Answer::kYes : Answer::kNo,
                      Describe(input, crossover)});
      continue;
    }
    const std::string begin = fmt::format(
        "faster than full attention at {} tokens{}: ", crossover.shortest,
        crossover.shortest == crossover.longest
            ? ", the only context measured"
            : ", the shortest context measured, and on");
    const auto it =
        std::find_if(out->begin(), out->end(), [&](const Finding& f) {
          return f.rule == kRule && f.group == group &&
                 f.text.starts_with(begin);
        });
    const std::string name = Named(input, *crossover.variant);
    if (it == out->end()) {
      out->push_back({kRule, group, Answer::kYes, begin + name});
    } else {
      it->text += ", " + name;
    }
  }
}

}  // namespace

std::vector<Finding> FindFindings(const ReportInput& input) {
  std::vector<Finding> findings;
  for (const std::string& task : input.Tasks()) {
    for (const Group& group : GroupsOf(task, input.Scores(task))) {
      GroupFindings(input, group, &findings).Run();
    }
    AddChance(input, task, &findings);
    AddLengths(input, task, &findings);
  }
  AddCrossovers(input, &findings);
  return findings;
}

Json ToJson(const Finding& finding) {
  const Json holds = finding.answer == Answer::kFact
                         ? Json()
                         : Json(finding.answer == Answer::kYes);
  return {{"rule", finding.rule},
          {"group", finding.group},
          {"holds", holds},
          {"text", finding.text}};
}

}  // namespace rattn
