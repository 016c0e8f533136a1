// SPDX-License-Identifier: MIT
// A run that becomes longer: its first epochs keep their bits, so their plans must stay the same.
#pragma once

#include <string>

#include "gradamp/tools/settings/settings.h"

namespace gradamp {

/// Whether the run of `longer` has more epochs than that of `shorter`, all of the shorter's epochs are planned alike,
/// and strategy and epochs are the only settings that differ (apart from paths).
bool is_extension(const RunSettings& shorter, const RunSettings& longer);

/// The settings of the run `stored`, extended to `epochs`: the last phase of its own phases is prolonged. If
/// `strategy` is not empty, it replaces the phases. Error that says what to do if an epoch of the stored run would
/// change, for example because a preset's phases are scaled to the epochs.
RunSettings extended_settings(const RunSettings& stored, int epochs, const std::string& strategy = "");

}  // namespace gradamp
