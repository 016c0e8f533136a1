// SPDX-License-Identifier: MIT
// Loads the images that a run's settings select to the device.
#pragma once

#include <optional>
#include <string>

#include "gradamp/core/backend.h"
#include "gradamp/data/device_dataset.h"
#include "gradamp/tools/settings/settings.h"

namespace gradamp {

/// The data on the device, and what they are: the fingerprints of all splits (data/dataset.h).
struct LoadedData {
  TrainingData data;
  std::string fingerprint;
};

/// Reads, checks and uploads the data that `settings` select. Images are normalized by the channel statistics of the
/// training images.
LoadedData load_training_data(Backend& backend, const RunSettings& settings);

/// Reads the training images, without those that are held out for validation.
Dataset load_training_images(const RunSettings& settings);

/// Reads and checks the data. Error if load_training_data would reject it.
void check_training_data(const RunSettings& settings);

}  // namespace gradamp
