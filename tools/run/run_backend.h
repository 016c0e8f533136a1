// SPDX-License-Identifier: MIT
// The device and the network that a run's settings select. Defined in training.cpp.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "gradamp/core/backend.h"
#include "gradamp/data/device_dataset.h"
#include "gradamp/layers/module.h"
#include "gradamp/tools/settings/settings.h"

namespace gradamp {

/// Creates the backend. Adds the messages of the device's self-check to `notes`. Error if the self-check fails.
/// `local_ranks`: the number of the run's ranks on this host, which share its processors unless the settings have a
/// number of threads. `local_rank`: the number of this one among them, which selects its GPU.
std::unique_ptr<Backend> make_run_backend(const RunSettings& settings, std::vector<std::string>& notes,
                                          int local_ranks = 1, int local_rank = 0);

/// The network for the images and classes of `data`. Error if the images are too small for it.
std::shared_ptr<Module> make_run_network(Backend& backend, const RunSettings& settings, const DeviceDataset& data,
                                         const StepState& state);

}  // namespace gradamp
