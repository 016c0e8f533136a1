// SPDX-License-Identifier: MIT
#include "gradamp/tools/program/slurm_options.h"

#include "gradamp/tools/slurm/slurm_queue.h"

namespace gradamp {

void check_slurm_command(const CLI::App& app, const SlurmCommand& command, const char* without_slurm) {
  for (const char* const option : {"--sbatch", "--slurm-prologue"})
    if (app.count(option) > 0 && !command.slurm) throw UsageError(fmt::format("{}: expected --slurm with it", option));
  if (app.count("--ranks") == 0) return;
  if (command.ranks < 1) throw UsageError(fmt::format("--ranks: expected at least 1, got {}", command.ranks));
  if (!command.slurm)
    throw UsageError(
        fmt::format("--ranks: expected --slurm with it; without Slurm, {} starts several processes", without_slurm));
  if (command.ranks > 1 && sbatch_option(command.sbatch, "--ntasks", 'n'))
    throw UsageError(fmt::format("--sbatch: expected no --ntasks, which --ranks {} sets", command.ranks));
}

SlurmOptions slurm_options(const SlurmCommand& command) {
  return {command.sbatch, command.slurm_prologue.empty() ? "" : read_prologue(command.slurm_prologue), command.ranks};
}

}  // namespace gradamp
