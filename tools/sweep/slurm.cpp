// SPDX-License-Identifier: MIT
#include "gradamp/tools/sweep/slurm.h"

#include <algorithm>
#include <iostream>
#include <map>
#include <set>
#include <span>

#include "gradamp/core/command_name.h"
#include "gradamp/core/error.h"
#include "gradamp/core/text.h"
#include "gradamp/data/files/crc32c.h"
#include "gradamp/optim/training/rank_exchange.h"
#include "gradamp/tools/settings/message_of.h"
#include "gradamp/tools/slurm/slurm_submitter.h"
#include "gradamp/tools/slurm/time_limit.h"
#include "gradamp/tools/sweep/sweep_estimate.h"

namespace gradamp {
namespace {

std::string overrides_text(const std::vector<SweepOverride>& overrides) {
  std::string text;
  for (const SweepOverride& given : overrides) text += " " + shell_word("--" + given.key + "=" + given.value);
  return text;
}

/// The runs of one call of sbatch.
struct TaskArray {
  std::vector<std::size_t> jobs;  // indices in the sweep
  std::size_t offset = 0;         // index in the sweep, less that in the array
};

/// Arrays for these runs. An index in an array is less than `max_size`.
std::vector<TaskArray> arrays_of(const std::vector<std::size_t>& jobs, std::size_t max_size) {
  std::vector<TaskArray> arrays;
  for (const std::size_t job : jobs) {
    const std::size_t offset = job / max_size * max_size;
    if (arrays.empty() || arrays.back().offset != offset) arrays.push_back({{}, offset});
    arrays.back().jobs.push_back(job);
  }
  return arrays;
}

/// One submission of the runs that are missing.
class SweepSubmitter {
 public:
  SweepSubmitter(const SweepFolder& folder, const SweepSubmission& options)
      : folder_(folder), options_(options), submitter_(folder.path()), reports_(folder.reports()) {}

  void submit_missing() {
    std::vector<std::size_t> beginnings, cells;
    std::set<std::string> jobs_before;  // those that the cells wait for
    int queued = 0, running = 0;
    for (std::size_t i = 0; i < reports_.size(); ++i) {
      const SweepJob& job = folder_.jobs()[i];
      const SlurmTask* const task = submitter_.active_task(job.name, job.settings, "--folder");
      if (reports_[i].state == JobState::kDone || !folder_.is_needed(i)) continue;
      if (task != nullptr && !job.is_cell) jobs_before.insert(task->job);
      if (task != nullptr || reports_[i].state == JobState::kRunning) {
        ++(task != nullptr && task->phase == SlurmTask::kQueued ? queued : running);
      } else {
        (job.is_cell ? cells : beginnings).push_back(i);
      }
    }
    const bool none_missing = beginnings.empty() && cells.empty();
    if (queued + running > 0) {
      std::cout << fmt::format("{} runs are queued, {} are running: they are not submitted again\n", queued, running);
    } else if (none_missing) {
      std::cout << "all cells are done\n";
    }
    if (none_missing) return;
    suggest_times(beginnings, cells);
    const std::size_t max_size = max_array_size();
    for (const std::string& job : submit_arrays("beginnings", "shared beginnings", beginnings, max_size, jobs_before))
      jobs_before.insert(job);
    submit_arrays("cells", "cells", cells, max_size, jobs_before);
  }

 private:
  /// Sets minutes_ and prints its reason, unless the user gives a time limit.
  void suggest_times(const std::vector<std::size_t>& beginnings, const std::vector<std::size_t>& cells) {
    if (has_time_limit(options_.sbatch)) return;
    SweepEstimate estimate;
    try {
      estimate = estimate_here();
    } catch (const std::exception& error) {
      std::cout << fmt::format("no --time is given, and none can be suggested: {}\n", printable(message_of(error)));
      return;
    }
    double longest = 0;
    for (const std::vector<std::size_t>* const jobs : {&beginnings, &cells})
      for (const std::size_t job : *jobs) longest = std::max(longest, estimate.seconds_of_job[job]);
    minutes_ =
        print_time_limit(options_.sbatch, longest, "the longest run",
                         estimate.is_measured ? "a step measured on this machine" : "the epochs of its kind so far");
  }

  SweepEstimate estimate_here() const {
    const auto is_automatic = [](const SweepJob& job) { return job.settings.device == "auto"; };
    const bool is_automatic_somewhere = std::any_of(folder_.jobs().begin(), folder_.jobs().end(), is_automatic);
    const bool has_epochs = std::any_of(reports_.begin(), reports_.end(),
                                        [](const JobReport& report) { return report.seconds_of_epoch > 0; });
    if (!has_epochs) check_can_measure(options_.sbatch, is_automatic_somewhere);
    return estimate_sweep(folder_, reports_, processors_of_task(options_.sbatch), options_.ranks, true);
  }

  /// Submits the runs. Returns the jobs' numbers.
  std::vector<std::string> submit_arrays(const char* kind, const char* what, const std::vector<std::size_t>& jobs,
                                         std::size_t max_size, const std::set<std::string>& jobs_before) {
    std::vector<std::string> submitted;
    for (const TaskArray& array : arrays_of(jobs, max_size)) {
      std::set<std::string> awaited = jobs_before;
      if (options_.max_tasks && !submitted.empty()) awaited.insert(submitted.back());  // each has its own throttle
      submitted.push_back(submit(kind, array, awaited));
      std::cout << fmt::format("job {}: {} {}", submitted.back(), array.jobs.size(), what) << std::endl;
    }
    return submitted;
  }

  /// Submits one array. Returns the job's number.
  std::string submit(const char* kind, const TaskArray& array, const std::set<std::string>& awaited) {
    std::vector<SubmittedRun> runs;
    std::vector<std::size_t> indices;
    for (const std::size_t job : array.jobs) {
      const SweepJob& submitted = folder_.jobs()[job];
      runs.push_back({submitted.name, job - array.offset, checksum_of(submitted.settings)});
      indices.push_back(job - array.offset);
    }
    SlurmScript script;
    script.name = "gradamp-" + folder_.path().filename().string() + "-" + kind;
    script.tasks = ranges_of(indices) + (options_.max_tasks ? fmt::format("%{}", *options_.max_tasks) : "");
    script.logs = submitter_.scripts();
    script.minutes = minutes_;
    script.command = command_of(array);
    return submitter_.submit(kind, runs, script, options_, awaited);
  }

  /// The command of the array's tasks. Writes a copy of the sweep's file for it: a task is the number of a run in this
  /// version of the file, and sweep.toml may have changed when the task begins. The sweep begins the ranks of a run.
  std::string command_of(const TaskArray& array) const {
    const std::uint32_t checksum = crc32c(std::as_bytes(std::span(options_.text)));
    const std::filesystem::path copy = submitter_.scripts() / fmt::format("sweep-{:08x}.toml", checksum);
    save_slurm_file(copy, options_.text);
    const bool has_ranks = options_.ranks > 1;
    constexpr const char* kLauncher = "\"${launcher[@]}\"";
    return fmt::format("{}{} sweep {} --folder {} \\\n  --only \"$((SLURM_ARRAY_TASK_ID + {}))\"{}{}",
                       has_ranks ? "" : std::string(kLauncher) + " ", shell_word(own_program().string()),
                       shell_word(copy.string()), shell_word(folder_.path().string()), array.offset,
                       overrides_text(options_.overrides), has_ranks ? std::string(" -- ") + kLauncher : "");
  }

  const SweepFolder& folder_;
  const SweepSubmission& options_;
  SlurmSubmitter submitter_;
  const std::vector<JobReport> reports_;
  std::int64_t minutes_ = 0;  // for --time; 0: none is suggested
};

}  // namespace

void check_submission(const SweepFolder& folder, int ranks) {
  check_slurm_folder(folder.path(), "--folder");
  for (const SweepJob& job : folder.jobs()) {
    try {
      check_ranks(ranks, job.settings.shards);
    } catch (const Error& error) {
      fail("--ranks: {}: {}", job.name, error.what());
    }
  }
}

void submit_to_slurm(const SweepFolder& folder, const SweepSubmission& options) {
  check_submission(folder, options.ranks);
  SweepSubmitter(folder, options).submit_missing();
}

std::optional<std::string> add_slurm_tasks(const SweepFolder& folder, std::vector<JobReport>& reports) {
  const auto is_done = [](const JobReport& report) { return report.state == JobState::kDone; };
  if (std::all_of(reports.begin(), reports.end(), is_done)) return std::nullopt;  // also on a machine without Slurm
  const std::filesystem::path scripts = folder.path() / "slurm";
  std::map<std::string, SlurmTask> tasks;
  try {
    SlurmRecord record(scripts / "submitted.jsonl");
    if (record.submissions().empty()) return std::nullopt;
    tasks = find_tasks(record, scripts, false);
    add_accounted_tasks(record, tasks);
  } catch (const Error& error) {
    return fmt::format("what is queued is not known, and what is running only from locks: {}", error.what());
  }
  for (std::size_t i = 0; i < reports.size(); ++i) {
    const auto found = tasks.find(folder.jobs()[i].name);
    JobReport& report = reports[i];
    if (found == tasks.end() || report.state == JobState::kDone) continue;
    const SlurmTask& task = found->second;
    report.slurm = "Slurm " + task.id;
    if (task.phase == SlurmTask::kEnded) {
      report.slurm += " " + task.state;
      continue;
    }
    report.failure.clear();  // of an earlier try
    if (report.state != JobState::kRunning)
      report.state = task.phase == SlurmTask::kQueued ? JobState::kQueued : JobState::kRunning;
  }
  return std::nullopt;
}

}  // namespace gradamp
