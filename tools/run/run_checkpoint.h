// SPDX-License-Identifier: MIT
// The settings that a checkpoint is of, and a run that begins with the checkpoint of another one.
#pragma once

#include <string>

#include "gradamp/optim/training/checkpoint.h"
#include "gradamp/tools/settings/settings.h"

namespace gradamp {

/// The settings that determine the numbers, as a checkpoint has them: not where files are written.
std::string checkpoint_settings(const RunSettings& settings);

/// Error that names the differences unless `file` was saved with `settings`, those of its run's folder.
void check_same_settings(const CheckpointFile& file, const RunSettings& settings);

/// Error unless `file` stands at the end of an epoch which its run has in common (shared_epochs) with one of
/// `settings`. It names the settings that differ.
void check_beginning(const CheckpointFile& file, const RunSettings& settings);

}  // namespace gradamp
