#include "tasks/files/lm_eval_results.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>
#include <set>

namespace rattn {
namespace {

Json ErrorOf(const Estimate& estimate) {
  return estimate.standard_error ? Json(*estimate.standard_error) : Json("N/A");
}

void AddEstimate(const std::string& name, const std::string& filter,
                 const Estimate& estimate, const std::optional<double>& chance,
                 Json* entry) {
  (*entry)[name + "," + filter] = estimate.value;
  (*entry)[name + "_stderr," + filter] = ErrorOf(estimate);
  (*entry)[name + "_ci95," + filter] = {estimate.interval.first,
                                        estimate.interval.second};
  if (chance) (*entry)[name + "_chance," + filter] = *chance;
}

Json TaskEntry(const TextEvalResult& result) {
  Json entry = {{"name", result.name},
                {"alias", result.alias},
                {"sample_len", result.evaluated}};
  for (const TextMetric& metric : result.metrics) {
    AddEstimate(metric.name, metric.filter, metric.estimate, metric.chance,
                &entry);
  }
  return entry;
}

// Results of a group's tasks, those of groups in it included; empty if one is
// missing.
class Leaves {
 public:
  Leaves(std::span<const TextEvalResult> results,
         std::span<const TextGroup> groups) {
    for (const TextEvalResult& result : results) {
      results_[result.name] = &result;
    }
    for (const TextGroup& group : groups) groups_[group.name] = &group;
  }

  std::vector<const TextEvalResult*> Of(const TextGroup& group) const {
    std::vector<const TextEvalResult*> leaves;
    return Collect(group, 0, &leaves) ? leaves
                                      : std::vector<const TextEvalResult*>();
  }

 private:
  static constexpr int kMostDepth = 8;

  bool Collect(const TextGroup& group, int depth,
               std::vector<const TextEvalResult*>* leaves) const {
    for (const std::string& name : group.members) {
      const auto result = results_.find(name);
      const auto inner = groups_.find(name);
      if (result != results_.end()) {
        leaves->push_back(result->second);
      } else if (inner == groups_.end() || depth >= kMostDepth ||
                 !Collect(*inner->second, depth + 1, leaves)) {
        return false;
      }
    }
    return true;
  }

  std::map<std::string, const TextEvalResult*> results_;
  std::map<std::string, const TextGroup*> groups_;
};

// Of the metric at place `m` in all tasks of a group: they have the same ones.
std::vector<GroupMember> Members(
    const std::vector<const TextEvalResult*>& leaves, size_t m) {
  std::vector<GroupMember> members;
  for (const TextEvalResult* leaf : leaves) {
    const Estimate& estimate = leaf->metrics[m].estimate;
    members.push_back(
        {estimate.value, estimate.standard_error, leaf->evaluated});
  }
  return members;
}

// The same of the metric's chance levels; they have no error. Nothing where a
// task has none.
std::vector<GroupMember> Chances(
    const std::vector<const TextEvalResult*>& leaves, size_t m) {
  std::vector<GroupMember> chances;
  for (const TextEvalResult* leaf : leaves) {
    const auto& chance = leaf->metrics[m].chance;
    if (!chance) return {};
    chances.push_back({*chance, std::nullopt, leaf->evaluated});
  }
  return chances;
}

Json GroupEntry(const TextGroup& group,
                const std::vector<const TextEvalResult*>& leaves) {
  int64_t documents = 0;
  for (const TextEvalResult* leaf : leaves) documents += leaf->evaluated;
  Json entry = {
      {"alias", group.alias}, {"name", group.name}, {"sample_len", documents}};
  Json counts = Json::object();
  for (size_t m = 0; m < leaves.front()->metrics.size(); ++m) {
    const TextMetric& metric = leaves.front()->metrics[m];
    const auto members = Members(leaves, m);
    const auto chances = Chances(leaves, m);
    const auto chance = [&](Estimate (*mean)(std::span<const GroupMember>)) {
      return chances.empty() ? std::optional<double>() : mean(chances).value;
    };
    AddEstimate(metric.name, metric.filter, MeanByDocument(members),
                chance(MeanByDocument), &entry);
    AddEstimate(metric.name + "_by_subject", metric.filter,
                MeanByMember(members), chance(MeanByMember), &entry);
    counts[metric.name + "," + metric.filter] = documents;
  }
  entry["sample_count"] = counts;
  if (!group.note.empty()) entry["note"] = group.note;
  return entry;
}

Json HigherIsBetter(const TextEvalResult& result) {
  Json higher = Json::object();
  for (const TextMetric& metric : result.metrics) {
    higher[metric.name] = metric.higher_is_better;
  }
  return higher;
}

void AddGroup(const TextGroup& group,
              const std::vector<const TextEvalResult*>& leaves, Json* all) {
  const Json entry = GroupEntry(group, leaves);
  (*all)["results"][group.name] = entry;
  (*all)["groups"][group.name] = entry;
  (*all)["group_subtasks"][group.name] = group.members;
  (*all)["versions"][group.name] = group.version;
  (*all)["higher_is_better"][group.name] = HigherIsBetter(*leaves.front());
  std::set<int64_t> shots;
  for (const TextEvalResult* leaf : leaves) shots.insert(leaf->shots);
  if (shots.size() == 1) (*all)["n-shot"][group.name] = *shots.begin();
}

}  // namespace

Json LmEvalResults(std::span<const TextEvalResult> results,
                   std::span<const TextGroup> groups, const Json& run) {
  Json all;
  for (const char* key :
       {"results", "groups", "group_subtasks", "configs", "versions", "n-shot",
        "higher_is_better", "n-samples", "task_hashes"}) {
    all[key] = Json::object();
  }
  for (const TextEvalResult& result : results) {
    all["results"][result.name] = TaskEntry(result);
    all["configs"][result.name] = result.config;
    all["versions"][result.name] = result.version;
    all["n-shot"][result.name] = result.shots;
    all["higher_is_better"][result.name] = HigherIsBetter(result);
    all["n-samples"][result.name] = {{"original", result.documents},
                                     {"effective", result.evaluated}};
    all["task_hashes"][result.name] = result.task_hash;
  }
  const Leaves leaves(results, groups);
  for (const TextGroup& group : groups) {
    const auto members = leaves.Of(group);
    if (!members.empty()) AddGroup(group, members, &all);
  }
  if (all["groups"].empty()) all.erase("groups");
  all.update(run);
  return all;
}

}  // namespace rattn
