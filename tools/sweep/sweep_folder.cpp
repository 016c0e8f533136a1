// SPDX-License-Identifier: MIT
#include "gradamp/tools/sweep/sweep_folder.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <span>

#include "gradamp/core/command_name.h"
#include "gradamp/core/error.h"
#include "gradamp/core/processors.h"
#include "gradamp/core/text.h"
#include "gradamp/core/thread_pool.h"
#include "gradamp/data/files/durable_file.h"
#include "gradamp/data/files/file_lock.h"
#include "gradamp/data/files/open_file.h"
#include "gradamp/data/files/paths.h"
#include "gradamp/data/registry/datasets.h"
#include "gradamp/tools/run/run_folder.h"
#include "gradamp/tools/settings/message_of.h"
#include "gradamp/tools/settings/setting_table.h"
#include "gradamp/tools/sweep/child_process.h"

namespace gradamp {
namespace {

void write_text(const std::filesystem::path& path, const std::string& text) {
  const std::array parts = {std::as_bytes(std::span(text))};
  write_durably(path, parts, Keep::kNothing);
}

void make_folder(const std::filesystem::path& path) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  check(!error, "the sweep's folder {} cannot be made: {}", path.string(), error.message());
}

/// Settings that may differ between a cell and its stored run. Device, speed and folder are chosen when the run begins.
constexpr SettingKinds kOfMachine = {SettingKind::kDevice, SettingKind::kSpeed, SettingKind::kOutput,
                                     SettingKind::kSource};

/// A path has at most 4095 bytes. Names of files in a run's folder have less than 95.
constexpr std::size_t kMaxRunFolder = 4000;

bool has_run(const SweepJob& job) {
  return file_exists(std::filesystem::path(job.settings.run_folder) / "config.json");
}

/// Whether the job's folder has a checkpoint to resume from.
bool has_checkpoint(const SweepJob& job) {
  const std::filesystem::path checkpoint = std::filesystem::path(job.settings.run_folder) / "checkpoint.safetensors";
  return file_exists(checkpoint) || file_exists(previous_of(checkpoint)) ||
         file_exists(checkpoint.parent_path() / "weights.safetensors");  // of a finished run with --keep weights
}

RunFolder open_run(const SweepJob& job) { return RunFolder::open(job.settings.run_folder, real_file_system()); }

/// Whether the stored run of a beginning can still serve as `job`, although the sweep's file may have changed since.
bool is_same_beginning(const SweepJob& job, RunSettings stored) {
  copy_settings(job.settings, stored, kOfMachine);
  return shared_epochs(stored, job.settings) >= job.epochs;
}

/// How the settings of the job's stored run differ from the job's; empty if the job can continue it.
std::string difference_of(const SweepJob& job, const RunSettings& stored) {
  if (!job.is_cell && is_same_beginning(job, stored)) return "";
  return describe_differences(stored, job.settings, kOfMachine);
}

}  // namespace

const char* name_of(JobState state) {
  switch (state) {
    case JobState::kPending: return "pending";
    case JobState::kQueued: return "queued";
    case JobState::kRunning: return "running";
    case JobState::kInterrupted: return "interrupted";
    case JobState::kFailed: return "failed";
    case JobState::kDone: return "done";
  }
  return "?";
}

SweepFolder::SweepFolder(std::filesystem::path path, const std::vector<SweepCell>& cells) : path_(std::move(path)) {
  check(is_utf8(path_.string()), "--folder: expected text in UTF-8, got '{}'", printable(path_.string()));
  path_exists(path_);  // Error now, rather than one for each job
  const auto add = [&](const std::string& name, const char* folder, const RunSettings& settings, int epochs) {
    SweepJob& job = jobs_.emplace_back();
    job.name = name;
    job.settings = settings;
    job.settings.epochs = settings.resolved_strategy().epochs();
    job.settings.run_folder = (path_ / folder / name).string();
    check(job.settings.run_folder.size() <= kMaxRunFolder,
          "--folder: expected a path of which that of a run's folder has at most {} bytes, got {} for {}; name another",
          kMaxRunFolder, job.settings.run_folder.size(), name);
    job.epochs = epochs;
    job.log = path_ / "logs" / (name + ".log");
    job.failure = path_ / "failures" / (name + ".txt");
  };
  const std::vector<SharedBeginning> beginnings = shared_beginnings(cells);
  for (const SharedBeginning& beginning : beginnings) {
    add(beginning.name, "beginnings", beginning.settings, beginning.epochs);
    jobs_.back().is_cell = false;
    jobs_.back().settings.keep = KeptFiles::kLast;  // cells branch from its checkpoint
  }
  for (const SweepCell& cell : cells)
    add(cell.name, "cells", cell.settings, cell.settings.resolved_strategy().epochs());
  for (std::size_t i = 0; i < beginnings.size(); ++i)
    for (const std::size_t cell : beginnings[i].cells) jobs_[beginnings.size() + cell].beginning = i;
}

void SweepFolder::check_settings() const {
  for (const SweepJob& job : jobs_) {
    if (!has_run(job) || !has_checkpoint(job)) continue;  // the job will start from the beginning
    const std::string difference = difference_of(job, open_run(job).settings());
    check(difference.empty(), "{}", other_settings_message(job, difference));
  }
}

std::string other_settings_message(const SweepJob& job, const std::string& difference) {
  return fmt::format("{} was begun with other settings: {}; name another --folder", job.settings.run_folder,
                     difference);
}

JobReport SweepFolder::report(const SweepJob& job) const {
  try {
    return read_report(job);
  } catch (const std::exception& error) {  // Error, or an exception of the JSON library if a file is damaged
    JobReport report;
    report.state = JobState::kFailed;
    report.failure = message_of(error);
    return report;
  }
}

JobReport SweepFolder::read_report(const SweepJob& job) const {
  JobReport report;
  std::optional<RunFolder> run;
  if (has_run(job)) {
    run = open_run(job);
    if (const std::optional<EpochSummary> last = run->read_last_epoch()) {
      report.epochs_done = last->epoch;
      report.seconds_of_epoch = last->seconds;
      report.test_accuracy = last->test_accuracy;
    }
    if (has_checkpoint(job)) report.difference = difference_of(job, run->settings());
    report.state = JobState::kInterrupted;
  }
  if (ChildProcess::is_at_work(job.log)) {
    report.state = JobState::kRunning;
  } else if (run ? run->summarized_epochs() >= job.epochs : is_done(job)) {  // after the look at the lock
    report.state = JobState::kDone;
  } else if (const auto text = read_if_exists(job.failure)) {
    report.state = JobState::kFailed;
    const auto* const begin = reinterpret_cast<const char*>(text->data());
    report.failure.assign(begin, std::find(begin, begin + text->size(), '\n'));
  }
  return report;
}

bool SweepFolder::is_done(const SweepJob& job) const {
  return has_run(job) && open_run(job).summarized_epochs() >= job.epochs;
}

bool SweepFolder::needs_beginning(const SweepJob& job) const { return job.beginning && !has_checkpoint(job); }

bool SweepFolder::is_needed(std::size_t job) const {
  if (jobs_[job].is_cell) return true;
  return std::any_of(jobs_.begin(), jobs_.end(), [&](const SweepJob& cell) {
    return cell.beginning == job && needs_beginning(cell) && !is_done(cell);
  });
}

std::vector<JobReport> SweepFolder::reports() const {
  std::vector<JobReport> reports(jobs_.size());
  std::atomic<std::size_t> next = 0;
  const auto read = [&] {
    for (std::size_t job = next++; job < jobs_.size(); job = next++) reports[job] = report(jobs_[job]);
  };
  const auto call = [](const void* context, int) { (*static_cast<const decltype(read)*>(context))(); };
  run_on_threads(usable_processors(), {call, &read});
  return reports;
}

void SweepFolder::write(const std::string& text) const {
  for (const char* folder : {"cells", "beginnings", "logs", "failures"}) make_folder(path_ / folder);
  FileLock lock(path_ / "lock");  // several processes may write to the folder
  lock.acquire();
  write_text(path_ / "sweep.toml", text);
}

void SweepFolder::write_failure(const SweepJob& job, const std::string& reason) const {
  FileLock lock(path_ / "lock");  // several processes may write to the folder
  lock.acquire();
  if (!reason.empty()) return write_text(job.failure, reason + "\n");
  remove_durable(job.failure);
}

void SweepFolder::forget_failure(const SweepJob& job) const {
  write_failure(job, "");
  if (has_run(job)) open_run(job).record_failure("");
}

void SweepFolder::discard_unstarted_run(const SweepJob& job) const {
  if (has_run(job) && !has_checkpoint(job)) open_run(job).discard_unstarted();
}

std::vector<std::string> SweepFolder::command_line(const SweepJob& job, int threads) const {
  std::vector<std::string> arguments = {"train"};
  if (has_run(job)) {
    arguments.push_back("--resume=" + job.settings.run_folder);
    if (open_run(job).settings().data != job.settings.data) arguments.push_back("--data=" + job.settings.data);
  } else {
    RunSettings settings = job.settings;
    if (settings.threads == 0) settings.threads = threads;
    if (job.beginning) {
      const SweepJob& beginning = jobs_[*job.beginning];
      const RunSettings stored = open_run(beginning).settings();
      copy_settings(stored, settings, {SettingKind::kDevice, SettingKind::kSpeed});
      arguments.push_back("--branch=" + beginning.settings.run_folder);
    }
    for (std::string& argument : setting_arguments(settings)) arguments.push_back(std::move(argument));
  }
  if (!job.is_cell) arguments.push_back("--until=" + std::to_string(job.epochs));
  return arguments;
}

std::string failure_reason(const std::filesystem::path& log, int exit_code, FileSystem& file_system) {
  if (exit_code > 128)
    return fmt::format("ended by signal {} ({}); see {}", exit_code - 128, ::strsignal(exit_code - 128), log.string());
  constexpr std::int64_t kMaxEnd = 1 << 16;  // more than the longest message
  try {
    const std::string text = "\n" + FileReader(log, file_system).read_end(kMaxEnd);
    const std::string prefix = "\n" + command_name() + ": ";
    const std::size_t found = text.rfind(prefix);
    if (found == std::string::npos) return fmt::format("ended with exit code {}; see {}", exit_code, log.string());
    const std::size_t begin = found + prefix.size();
    return text.substr(begin, text.find('\n', begin) - begin);
  } catch (const Error& error) {
    return fmt::format("ended with exit code {}; {}", exit_code, error.what());
  }
}

}  // namespace gradamp
