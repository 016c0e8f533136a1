// SPDX-License-Identifier: MIT
#include "gradamp/tools/run/run_checkpoint.h"

#include <nlohmann/json.hpp>

#include "gradamp/core/error.h"
#include "gradamp/tools/run/run_extension.h"
#include "gradamp/tools/settings/setting_table.h"

namespace gradamp {

namespace {

/// Settings that a branch does not compare one by one. The plans of the epochs show how many epochs both runs share.
constexpr SettingKinds kByPlan = {SettingKind::kSchedule, SettingKind::kAmplification, SettingKind::kMeasured,
                                  SettingKind::kRandom, SettingKind::kOutput};

RunSettings settings_of(const CheckpointFile& file) {
  try {
    return settings_from_json(nlohmann::json::parse(file.settings(), nullptr, false));
  } catch (const Error& error) {
    fail("{} is no checkpoint of a run of this program: {}", file.path().string(), error.what());
  }
}

}  // namespace

std::string checkpoint_settings(const RunSettings& settings) {
  RunSettings determining = settings;
  copy_settings(RunSettings(), determining, {SettingKind::kOutput});
  return to_json(determining).dump();
}

void check_same_settings(const CheckpointFile& file, const RunSettings& settings) {
  const RunSettings saved = settings_of(file);
  if (is_extension(saved, settings)) return;  // the run was extended, and has saved no checkpoint since
  const std::string differences =
      describe_differences(saved, settings, {SettingKind::kOutput, SettingKind::kSource, SettingKind::kLogging});
  check(differences.empty(),
        "{} was saved with other settings than its run's config.json has: {}; restore that config.json",
        file.path().string(), differences);
}

void check_beginning(const CheckpointFile& file, const RunSettings& settings) {
  check(file.position().epoch_finished, "{}: expected the end of an epoch, got a checkpoint inside epoch {}",
        file.path().string(), file.position().epoch);
  RunSettings other = settings_of(file);
  copy_settings(settings, other, {SettingKind::kSource});  // the images are compared by their fingerprint
  const int shared = shared_epochs(other, settings);
  if (file.position().epoch <= shared) return;
  const std::string differences = describe_differences(other, settings, kByPlan);
  check(differences.empty(),
        "{} is of a run that has no epoch in common with this one: {}; only schedule and "
        "amplification may differ",
        file.path().string(), differences);
  std::string later = describe_differences(other, settings, {SettingKind::kOutput});
  if (later.empty())
    later = "the settings are equal, but both runs measure or amplify from epoch " + std::to_string(shared + 1) + " on";
  check(shared > 0,
        "{} is of a run that has no epoch in common with this one: {}; the learning rate of the first "
        "epoch must be equal, and neither run may measure or amplify in it",
        file.path().string(), later);
  fail(
      "{} is {} epochs into a run that has only the first{} in common with this one: {}; branch from a run that was "
      "ended with --until {}",
      file.path().string(), file.position().epoch, shared == 1 ? "" : fmt::format(" {}", shared), later, shared);
}

}  // namespace gradamp
