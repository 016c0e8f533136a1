// SPDX-License-Identifier: MIT
#include "gradamp/tools/sweep/slurm.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <iostream>
#include <map>
#include <set>
#include <sstream>
#include <string_view>
#include <system_error>

#include <fmt/ranges.h>
#include <unistd.h>

#include "gradamp/core/command_name.h"
#include "gradamp/core/error.h"
#include "gradamp/core/text.h"
#include "gradamp/data/files/crc32c.h"
#include "gradamp/data/files/durable_file.h"
#include "gradamp/data/files/file_lock.h"
#include "gradamp/kernels/backends.h"
#include "gradamp/tools/run/console.h"
#include "gradamp/tools/settings/message_of.h"
#include "gradamp/tools/settings/setting_table.h"
#include "gradamp/tools/sweep/slurm_queue.h"
#include "gradamp/tools/sweep/slurm_record.h"
#include "gradamp/tools/sweep/sweep_estimate.h"

namespace gradamp {
namespace {

/// The script that `bash` runs for each task. It starts the program in the background, because a shell does not handle
/// signals while it waits for a foreground process. If a task was stopped and Slurm still reports it as running, it is
/// near its time limit or will be preempted, so the script requeues it. A canceled task is not reported as running, and
/// is not requeued. The prologue is for `module load` and the like. Its array `launcher` begins the command that runs
/// the program, in a container for example.
constexpr const char* kScript = R"script(#!/bin/bash
#SBATCH --job-name={name}
#SBATCH --array={tasks}
#SBATCH --output={log}/%A_%a.log
#SBATCH --open-mode=append
#SBATCH --requeue
#SBATCH --signal=B:USR1@120
{time}gradamp_run= gradamp_stopping=
gradamp_stop() {{
  gradamp_stopping=yes
  [ -z "$gradamp_run" ] || kill -USR1 "$gradamp_run"
}}
trap gradamp_stop USR1 TERM
launcher=()
{prologue}set +eu  # if the prologue set them; the exit codes below are expected
"${{launcher[@]}}" {program} sweep {file} --folder {folder_word} \
  --only "$((SLURM_ARRAY_TASK_ID + {offset}))"{overrides} &
gradamp_run=$!
[ -z "$gradamp_stopping" ] || gradamp_stop  # it was asked before there was a run
gradamp_code=129
while [ "$gradamp_code" -gt 128 ] && kill -0 "$gradamp_run" 2>/dev/null; do  # a signal ends the wait, not the run
  wait "$gradamp_run"
  gradamp_code=$?
done
wait "$gradamp_run"
gradamp_code=$?
gradamp_run=
gradamp_task="${{SLURM_ARRAY_JOB_ID}}_${{SLURM_ARRAY_TASK_ID}}"
if [ "$gradamp_code" = 138 ] || [ "$gradamp_code" = 143 ]; then  # stopped and saved
  gradamp_state=$(squeue --noheader --format=%T --job="$gradamp_task")
  [ "$gradamp_state" != RUNNING ] || scontrol requeue "$gradamp_task"
fi
exit "$gradamp_code"
)script";

/// Quotes a word for a line #SBATCH. In a file name sbatch replaces %A by the job's number, so a % is written as %%.
std::string sbatch_word(const std::string& text, bool is_path) {
  std::string word = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') word += '\\';
    if (c == '%' && is_path) word += '%';
    word += c;
  }
  return word + "\"";
}

/// The numbers as ranges, such as "0-3,7".
std::string ranges_of(const std::vector<std::size_t>& numbers) {
  std::string text;
  for (std::size_t i = 0; i < numbers.size();) {
    std::size_t last = i;
    while (last + 1 < numbers.size() && numbers[last + 1] == numbers[last] + 1) ++last;
    text += text.empty() ? "" : ",";
    text += last == i ? fmt::format("{}", numbers[i]) : fmt::format("{}-{}", numbers[i], numbers[last]);
    i = last + 1;
  }
  return text;
}

std::string overrides_text(const std::vector<SweepOverride>& overrides) {
  std::string text;
  for (const SweepOverride& given : overrides) text += " " + shell_word("--" + given.key + "=" + given.value);
  return text;
}

std::filesystem::path own_program() {
  std::error_code error;
  const std::filesystem::path program = std::filesystem::read_symlink("/proc/self/exe", error);
  check(!error, "this program's own path, /proc/self/exe, cannot be read: {}", error.message());
  return program;
}

void save_text(const std::filesystem::path& path, const std::string& text) {
  const std::array parts = {std::as_bytes(std::span(text))};
  write_durably(path, parts, Keep::kNothing);
}

/// The checksum of the settings that determine the run's numbers. Settings with their default value do not count, so
/// that a release with more settings computes the same.
std::uint32_t checksum_of(const RunSettings& settings) {
  const RunSettings defaults;
  std::string text;
  for (const Setting& setting : setting_table()) {
    const std::string value = setting_text(settings, setting);
    const bool is_other =
        setting.is_one_of({SettingKind::kDevice, SettingKind::kSpeed, SettingKind::kOutput, SettingKind::kSource});
    if (!is_other && value != setting_text(defaults, setting)) text += fmt::format("{}:{}\n", setting.name, value);
  }
  return crc32c(std::as_bytes(std::span(text)));
}

/// Whether `line` names a job. sbatch prints "12" or "12;cluster".
bool is_job(std::string_view line) {
  const std::string_view number = line.substr(0, line.find(';'));
  return !number.empty() && number.find_first_not_of("0123456789") == number.npos;
}

/// The time limit of the tasks' partition in minutes; none if there is none or it is not known.
std::optional<std::int64_t> partition_minutes(const std::string& sbatch) {
  const char* const variable = std::getenv("SBATCH_PARTITION");
  const std::string names = sbatch_option(sbatch, "--partition", 'p').value_or(variable == nullptr ? "" : variable);
  const CommandResult result = run_command("unset SINFO_PARTITION; sinfo --noheader --format='%P|%l'");
  return result.exit_code == 0 ? partition_minutes_in(result.output, names) : std::nullopt;
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

/// One submission of the runs that are missing. The caller holds the lock.
class Submitter {
 public:
  Submitter(const SweepFolder& folder, const SlurmOptions& options)
      : folder_(folder),
        options_(options),
        scripts_(folder.path() / "slurm"),
        record_(scripts_ / "submitted.jsonl"),
        reports_(folder.reports()) {
    if (!record_.submissions().empty()) tasks_ = find_tasks(record_, scripts_, true);
  }

  void submit_missing() {
    std::vector<std::size_t> beginnings, cells;
    std::set<std::string> jobs_before;  // those that the cells wait for
    int queued = 0, running = 0;
    for (std::size_t i = 0; i < reports_.size(); ++i) {
      const SweepJob& job = folder_.jobs()[i];
      const SlurmTask* const task = active_task(job);
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
  /// The run's task, if it is queued or running. Error if it has other settings.
  const SlurmTask* active_task(const SweepJob& job) const {
    const auto found = tasks_.find(job.name);
    if (found == tasks_.end() || found->second.phase == SlurmTask::kEnded) return nullptr;
    const SlurmTask& task = found->second;
    check(task.settings == checksum_of(job.settings),
          "{} is {} as Slurm's task {} with other settings; cancel it first (scancel {}), or name another --folder",
          job.name, task.phase == SlurmTask::kQueued ? "queued" : "running", task.id, task.id);
    return &task;
  }

  /// Sets minutes_ and prints its reason, unless the user gives a time limit.
  void suggest_times(const std::vector<std::size_t>& beginnings, const std::vector<std::size_t>& cells) {
    const char* const variable = std::getenv("SBATCH_TIMELIMIT");
    if (variable != nullptr || sbatch_option(options_.sbatch, "--time", 't')) return;
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
    minutes_ = suggested_minutes(longest);
    std::cout << fmt::format("--time={}: the longest run needs about {} by {}, {}", minutes_, format_duration(longest),
                             estimate.is_measured ? "a step measured on this machine" : "the epochs of its kind so far",
                             kMarginWords);
    const std::optional<std::int64_t> limit = partition_minutes(options_.sbatch);
    if (limit && *limit < minutes_) {
      minutes_ = *limit;
      std::cout << fmt::format("; the partition allows {} min, after which a run is saved and its task requeued",
                               minutes_);
    }
    std::cout << std::endl;
  }

  SweepEstimate estimate_here() const {
    const std::vector<DeviceStatus> devices = device_statuses();
    const bool has_gpu = std::any_of(devices.begin(), devices.end(), [](const DeviceStatus& status) {
      return status.available && to_string(status.device) == "cuda";
    });
    const bool wants_gpu =
        options_.sbatch.find("gpu") != std::string::npos || options_.sbatch.find("gres") != std::string::npos;
    const auto is_automatic = [](const SweepJob& job) { return job.settings.device == "auto"; };
    const bool is_automatic_somewhere = std::any_of(folder_.jobs().begin(), folder_.jobs().end(), is_automatic);
    const bool has_epochs = std::any_of(reports_.begin(), reports_.end(),
                                        [](const JobReport& report) { return report.seconds_of_epoch > 0; });
    check(has_gpu || !wants_gpu || !is_automatic_somewhere || has_epochs,
          "this machine has no GPU to measure a step on, and no run has trained an epoch yet");
    return estimate_sweep(folder_, reports_, processors_of_task(options_.sbatch), true);
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

  /// Submits one array and records it. Returns the job's number.
  std::string submit(const char* kind, const TaskArray& array, const std::set<std::string>& awaited) {
    Submission submission;
    submission.script = record_.new_script(kind);
    submission.user = ::getuid();
    for (const std::size_t job : array.jobs)
      submission.runs.push_back(
          {folder_.jobs()[job].name, job - array.offset, checksum_of(folder_.jobs()[job].settings)});
    write_script(scripts_ / submission.script, kind, array);
    std::string command = "sbatch --parsable ";
    if (!options_.sbatch.empty()) command += options_.sbatch + " ";
    if (!awaited.empty()) command += fmt::format("--dependency=afterany:{} ", fmt::join(awaited, ":"));
    command += shell_word((scripts_ / submission.script).string());
    record_.begin(submission);
    const CommandResult result = run_command(command);
    std::string job, cluster, line, said;
    for (std::istringstream lines(result.output); std::getline(lines, line);) {
      if (is_job(line)) {
        job = line.substr(0, line.find(';'));
        cluster = line.substr(std::min(line.size(), job.size() + 1));
      } else {
        said += line + "\n";
      }
    }
    // After a failure the submission stays in the record without a number: sbatch can fail although Slurm has the job.
    check(result.exit_code == 0 && !job.empty(), "sbatch failed: {}", one_line(said));
    record_.set_job(submission.script, job, cluster);
    if (!said.empty()) std::cerr << printable(one_line(said)) << "\n";
    return job;
  }

  /// Writes the script and a copy of the sweep's file.
  void write_script(const std::filesystem::path& path, const char* kind, const TaskArray& array) const {
    // A task is the number of a run in this version of the file. sweep.toml may have changed when the task begins, so
    // the tasks read a copy.
    const std::uint32_t checksum = crc32c(std::as_bytes(std::span(options_.text)));
    const std::filesystem::path copy = scripts_ / fmt::format("sweep-{:08x}.toml", checksum);
    save_text(copy, options_.text);
    std::vector<std::size_t> indices;
    for (const std::size_t job : array.jobs) indices.push_back(job - array.offset);
    const std::string throttle = options_.max_tasks ? fmt::format("%{}", *options_.max_tasks) : "";
    const std::string name = "gradamp-" + folder_.path().filename().string() + "-" + kind;
    save_text(path, fmt::format(kScript, fmt::arg("name", sbatch_word(name, false)),
                                fmt::arg("tasks", ranges_of(indices) + throttle),
                                fmt::arg("log", sbatch_word(scripts_.string(), true)),
                                fmt::arg("time", minutes_ > 0 ? fmt::format("#SBATCH --time={}\n", minutes_) : ""),
                                fmt::arg("prologue", options_.prologue), fmt::arg("offset", array.offset),
                                fmt::arg("program", shell_word(own_program().string())),
                                fmt::arg("file", shell_word(copy.string())),
                                fmt::arg("folder_word", shell_word(folder_.path().string())),
                                fmt::arg("overrides", overrides_text(options_.overrides))));
  }

  const SweepFolder& folder_;
  const SlurmOptions& options_;
  const std::filesystem::path scripts_;
  SlurmRecord record_;
  const std::vector<JobReport> reports_;
  std::map<std::string, SlurmTask> tasks_;
  std::int64_t minutes_ = 0;  // for --time; 0: none is suggested
};

}  // namespace

void check_slurm_folder(const SweepFolder& folder) {
  const std::string path = folder.path().string();
  check(is_utf8(path) && printable(path) == path,
        "--slurm: expected a folder whose path has no line break or other control character, which a line #SBATCH of "
        "its scripts cannot hold, got '{}'; name another --folder",
        printable(path));
}

std::string read_prologue(const std::filesystem::path& file) {
  constexpr std::int64_t kMaxBytes = std::int64_t{1} << 20;
  std::string text;
  try {
    text = read_text(file, kMaxBytes);
  } catch (const Error& error) {
    fail("--slurm-prologue: {}", error.what());
  }
  check(text.find('\0') == text.npos && text.find('\r') == text.npos,
        "--slurm-prologue: expected commands of bash with Unix line ends, got a carriage return or a NUL in {}",
        file.string());
  check(("\n" + text).find("\n#SBATCH") == std::string::npos,
        "--slurm-prologue: expected no line #SBATCH, which Slurm would ignore there, in {}; give it with --sbatch",
        file.string());
  return text + "\n\n";  // two, because a backslash can end the last line
}

void submit_to_slurm(const SweepFolder& folder, const SlurmOptions& options) {
  check_slurm_folder(folder);
  const CommandResult found = run_command("command -v sbatch");
  check(found.exit_code == 0, "there is no sbatch on the PATH: is Slurm here?");
  const std::filesystem::path scripts = folder.path() / "slurm";
  std::error_code error;
  std::filesystem::create_directories(scripts, error);
  check(!error, "the folder {} cannot be made: {}", scripts.string(), error.message());
  FileLock lock(scripts / "lock");  // one submission at a time
  lock.acquire([](const std::string& holder) { std::cerr << "waiting for " << holder << ", which submits, too\n"; });
  Submitter(folder, options).submit_missing();
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

int processors_of_task(const std::string& sbatch) {
  const std::string text = sbatch_option(sbatch, "--cpus-per-task", 'c').value_or("1");
  int processors = 0;
  std::from_chars(text.data(), text.data() + text.size(), processors);
  return std::max(1, processors);
}

std::int64_t suggested_minutes(double seconds) {
  constexpr double kFactor = 1.5, kStartAndEnd = 5 * 60, kMostSeconds = 3e9;  // about the most that Slurm can store
  return static_cast<std::int64_t>(std::ceil(std::min(kFactor * seconds + kStartAndEnd, kMostSeconds) / 60));
}

}  // namespace gradamp
