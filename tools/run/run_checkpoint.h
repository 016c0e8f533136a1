// SPDX-License-Identifier: MIT
// Comparisons of a run's settings with those in a checkpoint, for a run that resumes or branches from another run.
#pragma once

#include <string>

#include "gradamp/optim/training/checkpoint.h"
#include "gradamp/tools/settings/settings.h"

namespace gradamp {

/// The settings as a checkpoint stores them: JSON of all settings, with the output folder set to its default.
std::string checkpoint_settings(const RunSettings& settings);

/// Error unless `file` was saved with `settings`, which are those of its run's folder. The message names the
/// differences.
void check_same_settings(const CheckpointFile& file, const RunSettings& settings);

/// Error unless `file` was saved at the end of an epoch that its run shares (shared_epochs) with a run of `settings`.
/// The message names the settings that differ.
void check_beginning(const CheckpointFile& file, const RunSettings& settings);

}  // namespace gradamp
