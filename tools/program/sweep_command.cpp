// SPDX-License-Identifier: MIT
#include <algorithm>
#include <iostream>
#include <numeric>
#include <optional>
#include <set>
#include <sstream>
#include <tuple>

#include "gradamp/core/command_name.h"
#include "gradamp/core/error.h"
#include "gradamp/core/text.h"
#include "gradamp/data/files/durable_file.h"
#include "gradamp/data/files/paths.h"
#include "gradamp/tools/program/commands.h"
#include "gradamp/tools/program/signals.h"
#include "gradamp/tools/program/slurm_options.h"
#include "gradamp/tools/ranks/ranks.h"
#include "gradamp/tools/run/training_data.h"
#include "gradamp/tools/settings/setting_table.h"
#include "gradamp/tools/slurm/time_limit.h"
#include "gradamp/tools/sweep/slurm.h"
#include "gradamp/tools/sweep/sweep_console.h"
#include "gradamp/tools/sweep/sweep_estimate.h"

namespace gradamp {
namespace {

constexpr std::int64_t kMaxSweepBytes = std::int64_t{1} << 24;
constexpr SettingKinds kNoChangeOfTraining = {SettingKind::kDevice, SettingKind::kSpeed, SettingKind::kOutput,
                                              SettingKind::kSource};

/// The text of a sweep's file, or of the preset with this name if there is no such file.
std::string sweep_text(const std::string& file) {
  const std::vector<std::string> presets = sweep_preset_names();
  const bool preset = std::find(presets.begin(), presets.end(), file) != presets.end();
  const bool there = path_exists(file);
  if (preset && (!there || is_folder(file))) return sweep_preset(file);
  if (!there)
    throw UsageError(fmt::format("'{}' is neither a file nor a preset; {}", file,
                                 hint_of(file, presets, fmt::format("see `{} sweep --help`", typed_command()))));
  if (is_folder(file) && path_exists(std::filesystem::path(file) / "sweep.toml"))
    throw UsageError(fmt::format("'{0}' is a sweep's folder; its file is in it: `{1} sweep {2} --folder {3}`", file,
                                 typed_command(), shell_word(file + "/sweep.toml"), shell_word(file)));
  return read_text(file, kMaxSweepBytes);
}

std::vector<SweepCell> read_cells(const SweepCommand& command, const std::string& text) {
  std::istringstream stream(text);
  try {
    return read_sweep(stream, command.file, command.overrides);
  } catch (const Error& error) {
    throw UsageError(error.what());
  }
}

/// Makes the paths absolute, as find_data does it, so that they compare equal to those of stored runs.
void make_paths_absolute(std::vector<SweepCell>& cells) {
  for (SweepCell& cell : cells)
    for (std::string* const path : {&cell.settings.weights, &cell.settings.data})
      if (!path->empty()) *path = absolute_path(*path).string();
}

/// Finds the data of every cell, as `train` does for one run. Reads every dataset once, so that an invalid one is
/// reported before the sweep begins.
void find_data_of(std::vector<SweepCell>& cells) {
  std::set<std::tuple<std::string, int, int>> seen;
  for (SweepCell& cell : cells) {
    RunSettings& settings = cell.settings;
    find_data(settings);
    const bool is_new = seen.emplace(settings_key(settings, {SettingKind::kImages, SettingKind::kSource}),
                                     settings.augment ? settings.crop_padding : 0, settings.cutout)
                            .second;
    if (is_new) check_training_data(settings);
  }
}

/// Warns of variables of the environment that change what the sweep trains: an old `export` is easily forgotten.
void warn_of_environment(const SweepCommand& command) {
  for (const SweepOverride& given : command.overrides)
    if (!given.source.starts_with("--") && !find_setting(given.key)->is_one_of(kNoChangeOfTraining))
      std::cerr << fmt::format("{}: warning: the variable {} sets {} = {} for all cells, whatever the file says\n",
                               command_name(), given.source, given.key, printable(shortened(given.value)));
}

void show(const SweepCommand& command, const SweepFolder& folder) {
  std::vector<JobReport> reports = folder.reports();
  const std::optional<std::string> warning = add_slurm_tasks(folder, reports);
  if (warning) std::cerr << fmt::format("{}: warning: {}\n", command_name(), printable(*warning));
  std::cout << format_jobs(folder, reports);
  if (!command.dry_run) {
    std::cout << format_summary(folder, reports);
    const auto other = std::find_if(reports.begin(), reports.end(),
                                    [](const JobReport& report) { return !report.difference.empty(); });
    if (other == reports.end()) return;
    const SweepJob& job = folder.jobs()[static_cast<std::size_t>(other - reports.begin())];
    std::cerr << fmt::format("{}: warning: {}\n", command_name(),
                             printable(other_settings_message(job, other->difference)));
    return;
  }
  const bool has_original = std::any_of(folder.jobs().begin(), folder.jobs().end(), [](const SweepJob& job) {
    return job.is_cell && job.settings.selection == SelectionMethod::kNone;
  });
  if (!has_original)
    std::cerr << fmt::format(
        "{}: warning: no cell is without amplification: a report has nothing to compare with, "
        "unless other folders have such runs; the heading [original] adds them\n",
        command_name());
  std::cout << format_common_settings(folder.jobs());
  std::cout << fmt::format(
      "about {} on disk when all is done; with --keep weights {}, last {}, all {}\n",
      format_bytes(estimate_bytes(folder)), format_bytes(estimate_bytes(folder, KeptFiles::kWeights)),
      format_bytes(estimate_bytes(folder, KeptFiles::kLast)), format_bytes(estimate_bytes(folder, KeptFiles::kAll)));
  std::cout << std::flush;  // measuring takes a while
  const auto left = std::count_if(reports.begin(), reports.end(),
                                  [](const JobReport& report) { return report.state != JobState::kDone; });
  const int beside_each_other = std::clamp(static_cast<int>(left), 1, command.jobs);
  const int threads = command.slurm ? processors_of_task(command.sbatch) : threads_of_job(command.jobs);
  const SweepEstimate estimate = estimate_sweep(folder, reports, threads, command.ranks, false);
  const std::vector<double>& of_job = estimate.seconds_of_job;
  const double seconds = std::accumulate(of_job.begin(), of_job.end(), 0.0) / beside_each_other;
  std::cout << fmt::format("about {} for what is left, {} at a time, by a step measured on this machine\n",
                           format_duration(seconds), command.jobs);
  const double longest = *std::max_element(of_job.begin(), of_job.end());
  if (longest > 0)
    std::cout << fmt::format("the longest run takes about {}; --slurm gives its task --time={}, {}\n",
                             format_duration(longest), suggested_minutes(longest), kMarginWords);
}

std::string report_hint(const SweepFolder& folder) {
  return fmt::format("next: {} report {}\n", typed_command(), printable(shell_word(folder.path().string())));
}

/// Trains the cells. Returns the exit code.
int train_cells(const SweepCommand& command, const SweepFolder& folder) {
  const StopSignals signals;
  std::vector<JobReport> reports;
  {
    const bool quiet = command.quiet || command.only.has_value();  // a single run needs no progress of the sweep
    SweepConsole console(folder, command.jobs, std::cout, std::cerr, process_console_options(quiet));
    SweepOptions options;
    options.jobs = command.jobs;
    options.gpus = command.gpus;
    options.launcher = command.launcher;
    if (command.only) options.only = static_cast<std::size_t>(*command.only);
    options.stop = &signals.stop();
    options.observer = &console;
    reports = run_sweep(folder, options);
  }
  if (signals.received() != 0) {
    std::cerr << fmt::format("{}: stopped by {}; what was under way is saved. Go on with the same command\n",
                             command_name(), signal_name(signals.received()))
              << std::flush;
    return 128 + signals.received();
  }
  if (command.only) {
    const auto only = static_cast<std::size_t>(*command.only);
    std::cout << format_job(folder.jobs()[only], reports[only]) << std::endl;
    return reports[only].state == JobState::kDone ? 0 : kExitFailure;
  }
  std::cout << format_summary(folder, reports);
  const CellCounts counts = count_cells(folder.jobs(), reports);
  if (counts.done > 0) std::cout << report_hint(folder);
  return counts.done == counts.cells ? 0 : kExitFailure;
}

}  // namespace

int run_sweep_command(const SweepCommand& command) {
  const std::string text = sweep_text(command.file);
  if (command.print) {
    std::cout << text;
    return 0;
  }
  std::vector<SweepCell> cells = read_cells(command, text);
  warn_of_environment(command);
  if (command.status) {
    make_paths_absolute(cells);
  } else {
    find_data_of(cells);
  }
  const std::filesystem::path path = absolute_path(
      command.folder.empty() ? std::filesystem::path("sweeps") / std::filesystem::path(command.file).stem()
                             : std::filesystem::path(command.folder));
  const SweepFolder folder(path, cells);
  if (command.only)
    check(*command.only >= 0 && static_cast<std::size_t>(*command.only) < folder.jobs().size(),
          "--only: expected the number of one of the sweep's {} runs, got {}", folder.jobs().size(), *command.only);
  if (!command.status) folder.check_settings();
  if (command.slurm) check_submission(folder, command.ranks);
  if (command.ranks > 1) check_mpi_is_built();
  if (command.status || command.dry_run) {
    show(command, folder);
    return 0;
  }
  const SweepSubmission submission{slurm_options(command), text, command.overrides, command.slurm_throttle};
  folder.write(text);
  if (command.slurm) {
    submit_to_slurm(folder, submission);
    return 0;
  }
  return train_cells(command, folder);
}

}  // namespace gradamp
