// SPDX-License-Identifier: MIT
// Submits the runs of a folder to Slurm and remembers what was submitted (slurm_record.h), so that a run that is queued
// or running is not submitted again.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "gradamp/data/files/file_lock.h"
#include "gradamp/tools/settings/settings.h"
#include "gradamp/tools/slurm/slurm_queue.h"
#include "gradamp/tools/slurm/slurm_record.h"
#include "gradamp/tools/slurm/slurm_script.h"

namespace gradamp {

/// The checksum of the settings that determine a run's numbers. Settings with their default value do not count, so that
/// a release with more settings computes the same.
std::uint32_t checksum_of(const RunSettings& settings);

/// Writes a file of the folder `slurm`.
void save_slurm_file(const std::filesystem::path& path, const std::string& text);

/// One submission of the runs of a folder. No other process submits runs of this folder meanwhile.
class SlurmSubmitter {
 public:
  /// Asks Slurm for the tasks of the runs that were submitted before. `folder` is that of a run or of a sweep; the
  /// scripts and the record are in its folder slurm/, which is made. Error if there is no sbatch, or if squeue fails.
  explicit SlurmSubmitter(const std::filesystem::path& folder);

  /// FOLDER/slurm.
  const std::filesystem::path& scripts() const { return scripts_; }
  /// The run's task, if it is queued or running. Error if it has other settings; `option` names the folder, for the
  /// message.
  const SlurmTask* active_task(const std::string& name, const RunSettings& settings, const char* option) const;
  /// Writes the script FOLDER/slurm/KIND-N.sh, submits it after the jobs `awaited`, and records its `runs`. Returns the
  /// job's number. Error if sbatch fails.
  std::string submit(const std::string& kind, const std::vector<SubmittedRun>& runs, const SlurmScript& script,
                     const SlurmOptions& options, const std::set<std::string>& awaited = {});

 private:
  const std::filesystem::path scripts_;
  FileLock lock_;
  SlurmRecord record_;
  std::map<std::string, SlurmTask> tasks_;
};

}  // namespace gradamp
