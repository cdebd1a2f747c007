#include "harness/crossover.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <tuple>

#include "harness/text_format.h"
#include "kernels/catalog.h"

namespace rattn {
namespace {

using Curve = std::map<double, const Point*>;  // by context

// Where the ratio passes 1 between two contexts, both logarithmic.
double Interpolate(double c0, double ratio0, double c1, double ratio1) {
  const double share = std::log(ratio0) / (std::log(ratio0) - std::log(ratio1));
  return std::exp(std::log(c0) + share * (std::log(c1) - std::log(c0)));
}

bool Compare(const Curve& variant, const Curve& full, Crossover* crossover) {
  double last_context = 0, last_ratio = 0;
  for (const auto& [context, point] : variant) {
    const auto at = full.find(context);
    if (at == full.end() || !(at->second->value > 0) || !(point->value > 0)) {
      continue;
    }
    const double ratio = point->value / at->second->value;
    if (crossover->shortest == 0) crossover->shortest = context;
    crossover->longest = context;
    if (!crossover->context && ratio > 1) {
      crossover->always = last_context == 0;
      crossover->context =
          crossover->always
              ? context
              : Interpolate(last_context, last_ratio, context, ratio);
    }
    last_context = context;
    last_ratio = ratio;
  }
  return crossover->shortest > 0;
}

}  // namespace

bool IsFullAttention(const Point& point) {
  const Variant* variant = FindVariant(point.Text("variant"));
  return variant != nullptr && variant->spec.local.kind == LocalKind::kCausal &&
         !HasMemory(variant->spec);
}

std::vector<Crossover> FindCrossovers(const ReportInput& input) {
  const Points points = input.Where(IsMixerRate);
  const Facets facets(points, {"backend"});
  struct Series {
    std::string phase, group;
    Curve curve;
  };
  // Axes without context; what differs in the mixer alone shares a baseline.
  const auto key = [](const Point& point, bool mixer) {
    Json axes = point.axes;
    axes.erase("context");
    if (!mixer) {
      for (const char* axis : {"variant", "window_keys", "sinks"}) {
        axes.erase(axis);
      }
    }
    return axes.dump();
  };
  std::map<std::string, Curve> baselines;
  std::vector<std::string> order;
  std::map<std::string, Curve> curves;
  for (const Point* point : points) {
    const auto context = point->Number("context");
    if (!context) continue;
    if (IsFullAttention(*point)) {
      baselines[key(*point, false)][*context] = point;
      continue;
    }
    const std::string name = key(*point, true);
    if (!curves.contains(name)) order.push_back(name);
    curves[name][*context] = point;
  }
  std::vector<Crossover> found;
  for (const std::string& name : order) {
    const Curve& curve = curves[name];
    const Point* any = curve.begin()->second;
    const auto baseline = baselines.find(key(*any, false));
    if (baseline == baselines.end()) continue;
    Crossover crossover;
    crossover.variant = any;
    crossover.phase = any->Text("phase");
    crossover.group = facets.Label(*any);
    if (Compare(curve, baseline->second, &crossover)) {
      found.push_back(crossover);
    }
  }
  std::stable_sort(
      found.begin(), found.end(), [](const Crossover& a, const Crossover& b) {
        return std::tie(a.phase, a.group) < std::tie(b.phase, b.group);
      });
  return found;
}

Json ToJson(const ReportInput& input, const Crossover& crossover) {
  return {{"variant", input.Series(*crossover.variant)},
          {"window_keys", crossover.variant->axes.value("window_keys", Json())},
          {"phase", crossover.phase},
          {"group", crossover.group},
          {"context", crossover.context ? Json(*crossover.context) : Json()},
          {"faster_at_the_shortest", crossover.always},
          {"contexts", {crossover.shortest, crossover.longest}}};
}

std::string Describe(const ReportInput& input, const Crossover& crossover) {
  const std::string name = Named(input, *crossover.variant);
  if (!crossover.context) {
    return fmt::format("{} is not faster than full attention up to {} tokens",
                       name, crossover.longest);
  }
  if (crossover.always) {
    return fmt::format(
        "{} is faster than full attention from {} tokens on, "
        "the shortest context measured",
        name, crossover.shortest);
  }
  return fmt::format("{} overtakes full attention at about {} tokens", name,
                     FormatNumber(*crossover.context, 2));
}

}  // namespace rattn
