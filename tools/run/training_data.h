// SPDX-License-Identifier: MIT
// Loads the images that a run's settings select to the device.
#pragma once

#include <optional>

#include "gradamp/core/backend.h"
#include "gradamp/data/device_dataset.h"
#include "gradamp/tools/settings/settings.h"

namespace gradamp {

/// Reads, checks and uploads the data that `settings` select. Images are normalized by the channel statistics of the
/// training images.
TrainingData load_training_data(Backend& backend, const RunSettings& settings);

/// Reads and checks the data. Error if load_training_data would reject it.
void check_training_data(const RunSettings& settings);

}  // namespace gradamp
