// SPDX-License-Identifier: MIT
// The options of --slurm, which train and sweep have in common.
#pragma once

#include <CLI/CLI.hpp>

#include "gradamp/tools/program/options.h"
#include "gradamp/tools/slurm/slurm_script.h"

namespace gradamp {

/// UsageError if an option of Slurm is given without --slurm, or the number of ranks is wrong. `without_slurm` says how
/// ranks are started then.
void check_slurm_command(const CLI::App& app, const SlurmCommand& command, const char* without_slurm);

/// Reads the prologue, if there is one. Error as read_prologue.
SlurmOptions slurm_options(const SlurmCommand& command);

}  // namespace gradamp
