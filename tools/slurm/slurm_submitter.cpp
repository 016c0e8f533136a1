// SPDX-License-Identifier: MIT
#include "gradamp/tools/slurm/slurm_submitter.h"

#include <algorithm>
#include <array>
#include <iostream>
#include <span>
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
#include "gradamp/tools/settings/setting_table.h"

namespace gradamp {
namespace {

/// Whether `line` names a job. sbatch prints "12" or "12;cluster".
bool is_job(std::string_view line) {
  const std::string_view number = line.substr(0, line.find(';'));
  return !number.empty() && number.find_first_not_of("0123456789") == number.npos;
}

/// FOLDER/slurm, which is made. Error if there is no sbatch.
std::filesystem::path make_scripts_folder(const std::filesystem::path& folder) {
  const CommandResult found = run_command("command -v sbatch");
  check(found.exit_code == 0, "there is no sbatch on the PATH: is Slurm here?");
  std::filesystem::path scripts = folder / "slurm";
  std::error_code error;
  std::filesystem::create_directories(scripts, error);
  check(!error, "the folder {} cannot be made: {}", scripts.string(), error.message());
  return scripts;
}

FileLock acquired_lock(const std::filesystem::path& path) {
  FileLock lock(path);
  lock.acquire([](const std::string& holder) { std::cerr << "waiting for " << holder << ", which submits, too\n"; });
  return lock;
}

}  // namespace

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

void save_slurm_file(const std::filesystem::path& path, const std::string& text) {
  const std::array parts = {std::as_bytes(std::span(text))};
  write_durably(path, parts, Keep::kNothing);
}

SlurmSubmitter::SlurmSubmitter(const std::filesystem::path& folder)
    : scripts_(make_scripts_folder(folder)),
      lock_(acquired_lock(scripts_ / "lock")),
      record_(scripts_ / "submitted.jsonl") {
  if (!record_.submissions().empty()) tasks_ = find_tasks(record_, scripts_, true);
}

const SlurmTask* SlurmSubmitter::active_task(const std::string& name, const RunSettings& settings,
                                             const char* option) const {
  const auto found = tasks_.find(name);
  if (found == tasks_.end() || found->second.phase == SlurmTask::kEnded) return nullptr;
  const SlurmTask& task = found->second;
  check(task.settings == checksum_of(settings),
        "{} is {} as Slurm's task {} with other settings; cancel it first (scancel {}), or name another {}", name,
        task.phase == SlurmTask::kQueued ? "queued" : "running", task.id, task.id, option);
  return &task;
}

std::string SlurmSubmitter::submit(const std::string& kind, const std::vector<SubmittedRun>& runs,
                                   const SlurmScript& script, const SlurmOptions& options,
                                   const std::set<std::string>& awaited) {
  Submission submission;
  submission.script = record_.new_script(kind);
  submission.user = ::getuid();
  submission.runs = runs;
  save_slurm_file(scripts_ / submission.script, script_text(script, options));
  std::string command = "sbatch --parsable ";
  if (!options.sbatch.empty()) command += options.sbatch + " ";
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

}  // namespace gradamp
