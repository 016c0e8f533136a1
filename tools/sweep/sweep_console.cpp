// SPDX-License-Identifier: MIT
#include "gradamp/tools/sweep/sweep_console.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <utility>

#include <fmt/ranges.h>

#include "gradamp/core/text.h"
#include "gradamp/tools/settings/setting_table.h"

namespace gradamp {
namespace {

constexpr double kPlainSeconds = 30;

std::string percent(double fraction) { return fmt::format("{:.2f}%", 100 * fraction); }

/// The remaining seconds, estimated from the time of each run's last epoch. None if a network that remains has not
/// trained an epoch yet.
std::optional<double> seconds_left(const std::vector<SweepJob>& jobs, const std::vector<JobReport>& reports,
                                   int jobs_at_a_time) {
  std::map<std::string, std::pair<double, int>> by_network;  // sum of the seconds per epoch, and number of runs
  for (std::size_t i = 0; i < jobs.size(); ++i) {
    if (!(reports[i].seconds_of_epoch > 0) || !std::isfinite(reports[i].seconds_of_epoch)) continue;
    auto& [sum, count] = by_network[jobs[i].settings.network];
    sum += reports[i].seconds_of_epoch;
    ++count;
  }
  double seconds = 0;
  for (std::size_t i = 0; i < jobs.size(); ++i) {
    const JobState state = reports[i].state;
    if (state == JobState::kDone || state == JobState::kFailed) continue;
    const auto found = by_network.find(jobs[i].settings.network);
    if (found == by_network.end()) return std::nullopt;
    const int begun = jobs[i].beginning ? jobs[*jobs[i].beginning].epochs : 0;
    seconds += (jobs[i].epochs - std::max(begun, reports[i].epochs_done)) * found->second.first / found->second.second;
  }
  return seconds / jobs_at_a_time;
}

}  // namespace

CellCounts count_cells(const std::vector<SweepJob>& jobs, const std::vector<JobReport>& reports) {
  CellCounts counts;
  for (std::size_t i = 0; i < jobs.size(); ++i) {
    if (!jobs[i].is_cell) continue;
    ++counts.cells;
    counts.done += reports[i].state == JobState::kDone ? 1 : 0;
    counts.failed += reports[i].state == JobState::kFailed ? 1 : 0;
  }
  return counts;
}

std::string format_job(const SweepJob& job, const JobReport& report) {
  std::string line = fmt::format("{}  {}  {}/{}", job.name, name_of(report.state), report.epochs_done, job.epochs);
  if (report.test_accuracy) line += "  " + percent(*report.test_accuracy);
  if (!job.is_cell) line += "  (its epochs are the first of several cells)";
  if (!report.failure.empty()) line += "  " + printable(report.failure);
  return line;
}

std::string format_jobs(const SweepFolder& folder, const std::vector<JobReport>& reports) {
  const std::vector<SweepJob>& jobs = folder.jobs();
  std::size_t width = 0;
  for (const SweepJob& job : jobs) width = std::max(width, job.name.size());
  const std::size_t digits = std::to_string(jobs.size()).size();
  std::string text;
  for (std::size_t i = 0; i < jobs.size(); ++i) {
    text += fmt::format("{:>{}}  {:<{}}  {:<10}  {:>3}/{} epochs", i, digits, jobs[i].name, width,
                        name_of(reports[i].state), reports[i].epochs_done, jobs[i].epochs);
    if (reports[i].test_accuracy) text += "  " + percent(*reports[i].test_accuracy);
    if (jobs[i].beginning) text += fmt::format("  after {}", jobs[*jobs[i].beginning].name);
    if (!reports[i].slurm.empty()) text += "  " + printable(reports[i].slurm);
    if (!reports[i].difference.empty()) text += "  begun with other settings";
    if (!reports[i].failure.empty()) text += "  " + printable(reports[i].failure);
    text += "\n";
  }
  return text;
}

std::string format_common_settings(const std::vector<SweepJob>& jobs) {
  std::vector<const RunSettings*> cells;
  for (const SweepJob& job : jobs)
    if (job.is_cell) cells.push_back(&job.settings);
  std::vector<std::string> parts;
  for (const Setting& setting : setting_table()) {
    if (setting.is_one_of({SettingKind::kSource, SettingKind::kSpeed, SettingKind::kOutput})) continue;
    const std::string text = setting_text(*cells.front(), setting);
    const bool shared = std::all_of(cells.begin(), cells.end(), [&](const RunSettings* settings) {
      return setting_text(*settings, setting) == text;
    });
    const bool is_basic = setting.name == "network" || setting.name == "dataset" || setting.name == "strategy";
    if (shared && (is_basic || text != setting_text(RunSettings(), setting)))
      parts.push_back(fmt::format("{} {}", setting.name, text));
  }
  return printable(fmt::format("all cells: {}", fmt::join(parts, ", "))) + "\n";
}

std::string format_summary(const SweepFolder& folder, const std::vector<JobReport>& reports) {
  const CellCounts counts = count_cells(folder.jobs(), reports);
  std::string text = fmt::format("{} of {} cells are done, {} failed; {}\n", counts.done, counts.cells, counts.failed,
                                 printable(folder.path().string()));
  for (std::size_t i = 0; i < reports.size(); ++i)
    if (reports[i].state == JobState::kFailed)
      text += fmt::format("  {}: {}\n", folder.jobs()[i].name, printable(reports[i].failure));
  const auto with_state = [&](JobState state) {
    return std::count_if(reports.begin(), reports.end(), [&](const JobReport& one) { return one.state == state; });
  };
  if (std::any_of(reports.begin(), reports.end(), [](const JobReport& one) { return !one.slurm.empty(); }))
    text += fmt::format("  {} runs are queued, {} are running\n", with_state(JobState::kQueued),
                        with_state(JobState::kRunning));
  const int left = counts.cells - counts.done - counts.failed;
  if (left > 0)
    text += fmt::format(
        "  {} are pending, queued, running or interrupted; starting the sweep again continues with them\n", left);
  return text;
}

std::string format_sweep_progress(const SweepFolder& folder, const std::vector<JobReport>& reports, int jobs_at_a_time,
                                  int columns) {
  const std::vector<SweepJob>& jobs = folder.jobs();
  const CellCounts counts = count_cells(jobs, reports);
  std::string line = fmt::format("{}/{} cells", counts.done, counts.cells);
  if (counts.failed > 0) line += fmt::format("  {} failed", counts.failed);
  if (const auto left = seconds_left(jobs, reports, jobs_at_a_time))
    line += "  about " + format_duration(*left) + " left";
  std::string names;
  int running = 0;
  for (std::size_t i = 0; i < jobs.size(); ++i) {
    if (reports[i].state != JobState::kRunning) continue;
    names += fmt::format("  {} {}/{}", jobs[i].name, reports[i].epochs_done, jobs[i].epochs);
    ++running;
  }
  if (running == 0) return line;
  for (const std::string& end : {names, fmt::format("  {} running", running)})
    if (columns <= 0 || line.size() + end.size() <= static_cast<std::size_t>(columns)) return line + end;
  return line;
}

SweepConsole::SweepConsole(const SweepFolder& folder, int jobs_at_a_time, std::ostream& results, std::ostream& progress,
                           ConsoleOptions options)
    : folder_(folder),
      jobs_at_a_time_(jobs_at_a_time),
      results_(results),
      progress_(progress),
      options_(std::move(options)),
      last_progress_(options_.clock() - kPlainSeconds) {}

SweepConsole::~SweepConsole() { clear(); }

void SweepConsole::clear() {
  if (shown_) progress_ << "\r\x1b[K" << std::flush;
  shown_ = false;
}

void SweepConsole::on_begin(std::ptrdiff_t of_others) {
  if (of_others == 0 || options_.quiet) return;
  clear();
  progress_ << fmt::format("{} of the runs {} trained by another process; this one trains the others beside it\n",
                           of_others, of_others == 1 ? "is" : "are")
            << std::flush;
}

void SweepConsole::on_end(const SweepJob& job, const JobReport& report) {
  if (options_.quiet) return;
  clear();
  results_ << format_job(job, report) << std::endl;
}

void SweepConsole::on_progress(const std::vector<JobReport>& reports) {
  if (options_.quiet) return;
  const double now = options_.clock();
  if (!options_.bar && now - last_progress_ < kPlainSeconds) return;
  last_progress_ = now;
  // A line of the full width would make some terminals scroll.
  const int columns = options_.bar ? std::max(0, options_.progress_columns() - 1) : 0;
  const std::string line = format_sweep_progress(folder_, reports, jobs_at_a_time_, columns);
  clear();
  progress_ << line << (options_.bar ? "" : "\n") << std::flush;
  shown_ = options_.bar;
}

}  // namespace gradamp
