// SPDX-License-Identifier: MIT
#include "gradamp/tools/sweep/sweep_runner.h"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <thread>

#include "gradamp/core/processors.h"
#include "gradamp/data/files/file_lock.h"
#include "gradamp/tools/sweep/child_process.h"

namespace gradamp {
namespace {

constexpr std::chrono::milliseconds kPoll{100};
constexpr int kPollsPerProgress = 10;

bool is_stop(int exit_code) {
  for (const int signal : {SIGINT, SIGTERM, SIGUSR1, SIGHUP})
    if (exit_code == 128 + signal) return true;
  return false;
}

/// Tells of a launcher that goes on although its run, which it has seen running, has ended.
class LauncherWatch {
 public:
  using Clock = std::chrono::steady_clock;

  explicit LauncherWatch(const std::string& run_folder) : lock_(std::filesystem::path(run_folder) / "lock") {}

  bool waits_in_vain(std::chrono::milliseconds patience) {
    if (is_run_at_work()) {
      has_begun_ = true;
      end_ = Clock::now();
    }
    return has_begun_ && Clock::now() - end_ > patience;
  }

 private:
  bool is_run_at_work() const {
    try {
      return is_locked(lock_);
    } catch (const Error&) {
      return true;  // or not: that cannot be told, and the launcher stays
    }
  }

  std::filesystem::path lock_;
  bool has_begun_ = false;
  Clock::time_point end_;
};

class SweepRunner {
 public:
  SweepRunner(const SweepFolder& folder, const SweepOptions& options)
      : folder_(folder),
        options_(options),
        slots_(std::min(static_cast<std::size_t>(options.jobs), folder.jobs().size())),
        reports_(folder.reports()),
        tried_(reports_.size()) {
    for (std::size_t i = 0; i < tried_.size(); ++i) {
      tried_[i] = !is_wanted(i);
      if (tried_[i] || reports_[i].state != JobState::kFailed) continue;
      folder.write_failure(jobs()[i], "");  // this sweep tries the job again
      reports_[i] = folder.report(jobs()[i]);
    }
  }

  std::vector<JobReport> run() {
    if (options_.observer) options_.observer->on_begin(at_work_elsewhere());
    for (int poll = 0;; ++poll) {
      collect();
      if (stopping()) {
        stop_children();
        if (at_work() == 0) break;
      } else {
        start_jobs();
        if (at_work() == 0 && at_work_elsewhere() == 0) break;
      }
      if (poll % kPollsPerProgress == 0) tell_progress();
      std::this_thread::sleep_for(kPoll);
    }
    tell_progress();
    return reports_;
  }

 private:
  struct Slot {
    std::optional<ChildProcess> child;
    std::size_t job = 0;
    std::optional<LauncherWatch> watch;  // if there is a launcher
  };

  const std::vector<SweepJob>& jobs() const { return folder_.jobs(); }
  bool is_wanted(std::size_t index) const {
    if (!options_.only) return folder_.is_needed(index);
    const SweepJob& only = jobs()[*options_.only];
    return index == *options_.only || (index == only.beginning && folder_.needs_beginning(only));
  }
  bool stopping() const { return options_.stop != nullptr && options_.stop->load(); }
  std::ptrdiff_t at_work() const {
    return std::count_if(slots_.begin(), slots_.end(), [](const Slot& slot) { return slot.child.has_value(); });
  }

  /// Updates the reports of the children that have ended.
  void collect() {
    for (Slot& slot : slots_) {
      if (!slot.child) continue;
      const std::optional<int> code = slot.child->exit_code();
      if (!code) {
        if (slot.watch && slot.watch->waits_in_vain(options_.launcher_patience)) slot.child->kill();
        continue;
      }
      slot.child.reset();
      const SweepJob& job = jobs()[slot.job];
      if (*code == 0 || is_stop(*code)) {
        folder_.write_failure(job, "");
      } else if (folder_.report(job).state == JobState::kDone) {
        folder_.forget_failure(job);
      } else {
        folder_.write_failure(job, failure_reason(job.log, *code));
      }
      end(slot.job);
    }
  }

  void end(std::size_t index) {
    reports_[index] = folder_.report(jobs()[index]);
    if (options_.observer) options_.observer->on_end(jobs()[index], reports_[index]);
  }

  void stop_children() {
    if (stopped_) return;
    stopped_ = true;
    for (const Slot& slot : slots_)
      if (slot.child) slot.child->stop();
  }

  void start_jobs() {
    for (std::size_t i = 0; i < slots_.size(); ++i) {
      if (slots_[i].child) continue;
      const std::optional<std::size_t> next = next_job();
      if (!next) return;
      start(slots_[i], i, *next);
    }
  }

  /// The first job that can begin. A job whose beginning failed is reported as failed.
  std::optional<std::size_t> next_job() {
    for (std::size_t i = 0; i < jobs().size(); ++i) {
      const JobState own = reports_[i].state;
      if (tried_[i] || own == JobState::kDone || own == JobState::kRunning) continue;
      const std::optional<std::size_t> beginning = jobs()[i].beginning;
      // The beginning's report is looked at first, because it is in memory.
      if (beginning && reports_[*beginning].state != JobState::kDone && folder_.needs_beginning(jobs()[i])) {
        const JobState state = reports_[*beginning].state;
        if (state == JobState::kFailed && tried_[*beginning]) {
          tried_[i] = true;
          folder_.write_failure(
              jobs()[i], fmt::format("its {} failed: {}", jobs()[*beginning].name, reports_[*beginning].failure));
          end(i);
          continue;
        }
        continue;
      }
      return i;
    }
    return std::nullopt;
  }

  void start(Slot& slot, std::size_t place, std::size_t index) {
    const SweepJob& job = jobs()[index];
    tried_[index] = true;
    try {
      ProcessRequest request;
      request.arguments = [&]() -> std::optional<std::vector<std::string>> {
        if (folder_.is_done(job)) return std::nullopt;  // another process has finished it in the meantime
        folder_.write_failure(job, "");
        folder_.discard_unstarted_run(job);
        // Each of several processes finds the number of its threads by itself.
        return folder_.command_line(job, options_.launcher.empty() ? threads_of_job(options_.jobs) : 0);
      };
      request.launcher = options_.launcher;
      request.log = job.log;
      if (!options_.gpus.empty())
        request.environment["CUDA_VISIBLE_DEVICES"] = options_.gpus[place % options_.gpus.size()];
      slot.child = ChildProcess::start(request);
    } catch (const Error& error) {
      folder_.write_failure(job, error.what());
      return end(index);
    }
    slot.job = index;
    slot.watch.reset();
    if (!options_.launcher.empty()) slot.watch.emplace(job.settings.run_folder);
    reports_[index].state = JobState::kRunning;
    if (!slot.child) tried_[index] = false;  // another process is running it, or has finished it
  }

  bool is_of_others(std::size_t index) const { return !tried_[index] && reports_[index].state == JobState::kRunning; }

  std::ptrdiff_t at_work_elsewhere() const {
    std::ptrdiff_t count = 0;
    for (std::size_t i = 0; i < jobs().size(); ++i) count += is_of_others(i) ? 1 : 0;
    return count;
  }

  void tell_progress() {
    for (const Slot& slot : slots_)
      if (slot.child) reports_[slot.job] = folder_.report(jobs()[slot.job]);
    for (std::size_t i = 0; i < jobs().size(); ++i)
      if (is_of_others(i)) reports_[i] = folder_.report(jobs()[i]);
    if (options_.observer) options_.observer->on_progress(reports_);
  }

  const SweepFolder& folder_;
  const SweepOptions& options_;
  std::vector<Slot> slots_;
  std::vector<JobReport> reports_;
  std::vector<bool> tried_;  // true if this sweep has tried the job, or does not need it
  bool stopped_ = false;
};

}  // namespace

std::vector<JobReport> run_sweep(const SweepFolder& folder, const SweepOptions& options) {
  return SweepRunner(folder, options).run();
}

int threads_of_job(int jobs) {
  if (const int threads = threads_from_environment(); threads > 0) return threads;
  int available = usable_processors();
  // The second is set only if the user gave --cpus-per-task. It is lower if a job has several tasks per node.
  for (const char* const variable : {"SLURM_CPUS_ON_NODE", "SLURM_CPUS_PER_TASK"}) {
    const char* const task = std::getenv(variable);
    if (task == nullptr) continue;
    int processors = 0;
    std::from_chars(task, task + std::strlen(task), processors);
    if (processors > 0) available = std::min(available, processors);
  }
  return std::max(1, available / jobs);
}

}  // namespace gradamp
