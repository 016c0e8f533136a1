// SPDX-License-Identifier: MIT
// The images of a run, as its settings ask for them, on the device.
#pragma once

#include <optional>

#include "gradamp/core/backend.h"
#include "gradamp/data/device_dataset.h"
#include "gradamp/tools/settings/settings.h"

namespace gradamp {

/// Reads, checks and uploads what `settings` ask for. Images are normalized by the training images' channel statistics.
TrainingData load_training_data(Backend& backend, const RunSettings& settings);

/// Error where load_training_data would fail.
void check_training_data(const RunSettings& settings);

}  // namespace gradamp
