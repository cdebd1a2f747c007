#include "harness/sweep.h"

#include <fmt/format.h>
#include <omp.h>
#include <poll.h>

#include <algorithm>
#include <chrono>
#include <list>
#include <memory>
#include <optional>
#include <unordered_map>

#include "harness/cell_job.h"
#include "harness/interrupt.h"
#include "harness/progress.h"

namespace rattn {
namespace {

// An interrupted cell gets this long to save what it has.
constexpr double kGraceSeconds = 20;

class Sweeper {
 public:
  Sweeper(const Plan& plan, const SweepOptions& options,
          const RunFolder& folder)
      : plan_(plan),
        options_(options),
        folder_(folder),
        jobs_(options.jobs > 0 ? options.jobs : omp_get_num_procs()),
        results_(folder.Finished()) {
    for (const Cell& cell : plan.cells) by_id_[cell.id] = &cell;
    for (const Cell& cell : plan.cells) {
      if (!IsSettled(cell)) {
        results_.erase(cell.id);
        waiting_.push_back(&cell);
      }
    }
  }

  SweepOutcome Run();

 private:
  struct Running {
    const Cell* cell;
    std::unique_ptr<Child> child;
    bool alone;
  };

  bool IsSettled(const Cell& cell) const {
    const auto it = results_.find(cell.id);
    if (it == results_.end()) return false;
    return it->second.status == CellStatus::kDone || !options_.retry_failed;
  }
  static bool IsAlone(const Cell& cell) {
    const CellKind& kind = FindCellKind(cell.kind, "plan");
    return kind.alone != nullptr && kind.alone(cell);
  }
  static std::string GroupOf(const Cell& cell) {
    return fmt::format("{} {} {} {}", cell.kind, IsAlone(cell),
                       cell.axes.value("task", Json()).dump(),
                       cell.axes.value("length", Json()).dump());
  }
  Progress::Groups ProgressGroups() const {
    Progress::Groups groups;
    for (const Cell* cell : waiting_) {
      Progress::Group& group = groups[GroupOf(*cell)];
      ++group.left;
      group.kind = cell->kind;
      group.at_a_time = IsAlone(*cell) ? 1 : jobs_;
    }
    return groups;
  }

  bool IsReady(const Cell& cell) const;
  const FinishedCell* BrokenNeed(const Cell& cell, std::string* need) const;
  void SkipBroken(Progress* progress);
  void StartReady();
  bool StartFirst(bool alone);
  void WaitForSomething();
  void CollectEnded(Progress* progress);
  void Settle(const Cell& cell, CellResult result, double seconds,
              Progress* progress);
  void StopRunning();
  std::string RunningText() const;
  SweepOutcome Outcome() const;

  const Plan& plan_;
  const SweepOptions& options_;
  const RunFolder& folder_;
  const int64_t jobs_;
  std::map<std::string, FinishedCell> results_;
  std::unordered_map<std::string, const Cell*> by_id_;
  std::list<const Cell*> waiting_;
  std::list<Running> running_;
  int64_t ran_ = 0;
  bool interrupted_ = false;
  std::optional<std::chrono::steady_clock::time_point> stopping_since_;
};

bool Sweeper::IsReady(const Cell& cell) const {
  return std::all_of(
      cell.needs.begin(), cell.needs.end(), [&](const std::string& id) {
        const auto it = results_.find(id);
        return it != results_.end() && it->second.status == CellStatus::kDone;
      });
}

const FinishedCell* Sweeper::BrokenNeed(const Cell& cell,
                                        std::string* need) const {
  for (const std::string& id : cell.needs) {
    const auto it = results_.find(id);
    if (it != results_.end() && it->second.status != CellStatus::kDone) {
      *need = Describe(*by_id_.at(id));
      return &it->second;
    }
  }
  return nullptr;
}

void Sweeper::Settle(const Cell& cell, CellResult result, double seconds,
                     Progress* progress) {
  folder_.Write(cell, result);
  results_[cell.id] = {result.status, result.reason};
  ++ran_;
  progress->Finished(GroupOf(cell), cell, result, seconds);
}

void Sweeper::SkipBroken(Progress* progress) {
  for (auto it = waiting_.begin(); it != waiting_.end();) {
    const Cell& cell = **it;
    std::string need;
    const FinishedCell* broken = BrokenNeed(cell, &need);
    if (broken == nullptr) {
      ++it;
      continue;
    }
    it = waiting_.erase(it);
    Settle(
        cell,
        CellResult::Skipped(fmt::format("needs {}, which {}: {}", need,
                                        Name(broken->status), broken->reason)),
        0, progress);
  }
}

bool Sweeper::StartFirst(bool alone) {
  for (auto it = waiting_.begin(); it != waiting_.end(); ++it) {
    const Cell& cell = **it;
    if (IsAlone(cell) != alone || !IsReady(cell)) continue;
    running_.push_back(
        {&cell,
         std::make_unique<Child>(JobJson(std::span(&cell, 1)),
                                 folder_.ScratchFile(cell), options_.products,
                                 plan_.config.time_limit),
         alone});
    waiting_.erase(it);
    return true;
  }
  return false;
}

// Timing cells come last, one by one on an otherwise quiet machine.
void Sweeper::StartReady() {
  if (!running_.empty() && running_.front().alone) return;
  while (static_cast<int64_t>(running_.size()) < jobs_ &&
         StartFirst(/*alone=*/false)) {
  }
  if (running_.empty()) StartFirst(/*alone=*/true);
}

void Sweeper::WaitForSomething() {
  std::vector<pollfd> watched;
  double wait = 0.5;
  for (const Running& run : running_) {
    watched.push_back({run.child->process_descriptor(), POLLIN, 0});
    watched.push_back({run.child->output_descriptor(), POLLIN, 0});
    wait = std::min(wait, std::max(run.child->SecondsLeft(), 0.0));
  }
  poll(watched.data(), watched.size(), static_cast<int>(wait * 1000) + 1);
  for (Running& run : running_) {
    run.child->ReadOutput();
    run.child->EnforceLimit();
  }
}

bool HasEnded(const Child& child) {
  pollfd ended{child.process_descriptor(), POLLIN, 0};
  return poll(&ended, 1, 0) == 1;
}

void Sweeper::CollectEnded(Progress* progress) {
  for (auto it = running_.begin(); it != running_.end();) {
    if (!HasEnded(*it->child)) {
      ++it;
      continue;
    }
    const Cell& cell = *it->cell;
    const ChildOutcome outcome = it->child->Finish();
    it = running_.erase(it);
    // What Ctrl-C ended has no result: the next run repeats or continues it.
    if (Interrupted() && !outcome.ok()) continue;
    std::vector<CellResult> results =
        TakeResults(std::span(&cell, 1), folder_.ScratchFile(cell), outcome,
                    plan_.config.time_limit);
    Settle(cell, std::move(results.front()), outcome.seconds, progress);
  }
}

// Asks the running cells once to stop, and ends them when their time is over.
void Sweeper::StopRunning() {
  const auto now = std::chrono::steady_clock::now();
  if (!stopping_since_) {
    stopping_since_ = now;
    for (Running& run : running_) run.child->Interrupt();
  }
  const std::chrono::duration<double> waited = now - *stopping_since_;
  if (waited.count() < kGraceSeconds) return;
  for (Running& run : running_) run.child->Kill();
}

std::string Sweeper::RunningText() const {
  std::string text;
  for (const Running& run : running_) {
    text += fmt::format("{}{} {}", text.empty() ? "" : " | ",
                        Describe(*run.cell), run.child->progress());
  }
  return text;
}

SweepOutcome Sweeper::Outcome() const {
  SweepOutcome outcome;
  outcome.ran = ran_;
  outcome.interrupted = interrupted_;
  for (const Cell& cell : plan_.cells) {
    const auto it = results_.find(cell.id);
    if (it == results_.end()) continue;
    switch (it->second.status) {
      case CellStatus::kDone:
        ++outcome.done;
        break;
      case CellStatus::kSkipped:
        ++outcome.skipped;
        break;
      case CellStatus::kFailed:
        ++outcome.failed;
        outcome.failures.push_back(fmt::format(
            "{} {}: {}", cell.id, Describe(cell), it->second.reason));
        break;
    }
  }
  return outcome;
}

SweepOutcome Sweeper::Run() {
  Progress progress(ProgressGroups());
  while (!waiting_.empty() || !running_.empty()) {
    SkipBroken(&progress);
    if (Interrupted()) {
      StopRunning();
    } else {
      StartReady();
    }
    if (!running_.empty()) WaitForSomething();
    CollectEnded(&progress);
    if (Interrupted() && running_.empty()) break;
    progress.Show(RunningText());
  }
  interrupted_ =
      Interrupted() && std::any_of(plan_.cells.begin(), plan_.cells.end(),
                                   [&](const Cell& cell) {
                                     return !results_.contains(cell.id);
                                   });
  return Outcome();
}

}  // namespace

SweepOutcome RunSweep(const Plan& plan, const SweepOptions& options,
                      const RunFolder& folder) {
  return Sweeper(plan, options, folder).Run();
}

}  // namespace rattn
