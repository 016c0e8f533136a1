// SPDX-License-Identifier: MIT
#include "gradamp/tools/slurm/run_submission.h"

#include <algorithm>
#include <cmath>
#include <iostream>
#include <optional>

#include "gradamp/core/command_name.h"
#include "gradamp/core/error.h"
#include "gradamp/core/text.h"
#include "gradamp/data/files/file_lock.h"
#include "gradamp/data/files/paths.h"
#include "gradamp/optim/training/rank_exchange.h"
#include "gradamp/tools/run/epoch_time.h"
#include "gradamp/tools/run/run_folder.h"
#include "gradamp/tools/settings/message_of.h"
#include "gradamp/tools/settings/setting_table.h"
#include "gradamp/tools/slurm/slurm_submitter.h"
#include "gradamp/tools/slurm/time_limit.h"

namespace gradamp {
namespace {

constexpr const char* kNameInRecord = "the run";
constexpr const char* kFolderOption = "--run-folder";

std::optional<RunFolder> stored_run(const RunSubmission& run) {
  const std::filesystem::path folder = run.settings.run_folder;
  if (!path_exists(folder / "config.json")) return std::nullopt;
  return RunFolder::open(folder, real_file_system());
}

int last_epoch_of(const RunSubmission& run) { return run.last_epoch > 0 ? run.last_epoch : run.settings.epochs; }

/// The words as a bash array has them.
std::string array_text(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : " ") + shell_word(word);
  return text;
}

SlurmScript script_of(const RunSubmission& run, std::int64_t minutes) {
  const std::filesystem::path folder = run.settings.run_folder;
  std::vector<std::string> resume = {"--resume=" + run.settings.run_folder}, begin;
  if (!run.settings.data.empty()) resume.push_back("--data=" + run.settings.data);
  if (!run.branch.empty()) begin.push_back("--branch=" + run.branch.string());
  for (std::string& argument : setting_arguments(run.settings)) begin.push_back(std::move(argument));
  SlurmScript script;
  script.name = "gradamp-" + folder.filename().string();
  script.tasks = "0";
  script.logs = folder / "slurm";
  script.minutes = minutes;
  if (run.ranks == 1)
    script.before_command =
        "export OMP_NUM_THREADS=\"${OMP_NUM_THREADS:-${SLURM_CPUS_PER_TASK:-$SLURM_CPUS_ON_NODE}}\"\n";
  script.before_command += fmt::format(
      "unset \"${{!GRADAMP_@}}\"  # the settings are below\n"
      "gradamp_arguments=({})\n"
      "[ ! -e {} ] || gradamp_arguments=({})\n",
      array_text(begin), shell_word((folder / "config.json").string()), array_text(resume));
  script.command =
      fmt::format("\"${{launcher[@]}}\" {} train \"${{gradamp_arguments[@]}}\"", shell_word(own_program().string()));
  for (const std::string& argument : run.arguments) script.command += " " + shell_word(argument);
  if (run.last_epoch > 0) script.command += fmt::format(" --until={}", run.last_epoch);
  return script;
}

/// The time limit in minutes, which is printed with its reason; 0 if the user gives one, or none can be suggested.
std::int64_t minutes_of(const RunSubmission& run, const std::optional<RunFolder>& stored) {
  if (has_time_limit(run.sbatch)) return 0;
  EpochSummary last;  // epoch 0: none yet
  if (stored) last = stored->read_last_epoch().value_or(EpochSummary());
  const int left = std::max(1, last_epoch_of(run) - last.epoch);
  if (std::isfinite(last.seconds) && last.seconds > 0)
    return print_time_limit(run.sbatch, left * last.seconds, "the run", "its last epoch");
  try {
    check_can_measure(run.sbatch, run.settings.device == "auto");
    RunSettings settings = run.settings;
    if (settings.threads == 0) settings.threads = processors_of_task(run.sbatch);
    const double seconds = epoch_seconds(settings, measure_image_times(settings)) / run.ranks;
    return print_time_limit(run.sbatch, left * seconds, "the run", "a step measured on this machine");
  } catch (const std::exception& error) {
    std::cout << fmt::format("no --time is given, and none can be suggested: {}\n", printable(message_of(error)));
    return 0;
  }
}

}  // namespace

void check_submission(const RunSubmission& run) {
  const std::string& folder = run.settings.run_folder;
  check_slurm_folder(folder, kFolderOption);
  check_ranks(run.ranks, run.settings.shards);
  const std::optional<RunFolder> stored = stored_run(run);
  if (!stored) return;
  const std::string difference =
      describe_differences(stored->settings(), run.settings,
                           {SettingKind::kDevice, SettingKind::kSpeed, SettingKind::kOutput, SettingKind::kSource});
  check(difference.empty(), "{} was begun with other settings: {}; name another {}", folder, difference, kFolderOption);
}

std::string run_script(const RunSubmission& run, std::int64_t minutes) {
  return script_text(script_of(run, minutes), run);
}

void submit_run(const RunSubmission& run) {
  check_submission(run);
  const std::filesystem::path folder = run.settings.run_folder;
  const std::string shown = printable(folder.string());
  SlurmSubmitter submitter(folder);
  const SlurmTask* const task = submitter.active_task(kNameInRecord, run.settings, kFolderOption);
  const std::optional<RunFolder> stored = stored_run(run);
  if (stored && stored->summarized_epochs() >= last_epoch_of(run)) {
    std::cout << fmt::format("the run in {} is finished: it has {} epochs\n", shown, stored->summarized_epochs());
  } else if (task != nullptr) {
    std::cout << fmt::format("the run in {} is {} as Slurm's task {}: it is not submitted again\n", shown,
                             task->phase == SlurmTask::kQueued ? "queued" : "running", task->id);
  } else if (is_locked(folder / "lock")) {
    std::cout << fmt::format("the run in {} is running: it is not submitted\n", shown);
  } else {
    const std::int64_t minutes = minutes_of(run, stored);
    const std::string job =
        submitter.submit("run", {{kNameInRecord, 0, checksum_of(run.settings)}}, script_of(run, minutes), run);
    std::cout << fmt::format("job {}: the run in {}; its output is in {}\n", job, shown,
                             printable((submitter.scripts() / (job + "_0.log")).string()));
  }
}

}  // namespace gradamp
