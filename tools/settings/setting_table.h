// SPDX-License-Identifier: MIT
// The table of all settings of a run: the name of each, its kind, its meaning, its valid values and its member in
// RunSettings. The command line, the environment, configuration files, config.json, --help, the page
// tools/settings/README.md, comparisons of runs and the report all use this table.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "gradamp/tools/settings/settings.h"

namespace gradamp {

template <typename T>
using SettingMember = T RunSettings::*;

/// What a setting affects, and so what a difference in it means for two runs. config.json contains the kind of every
/// setting, so that the report compares runs by the kinds that the program used when it trained them.
enum class SettingKind {
  kImages,         // which images are used for training and evaluation
  kSource,         // where these images are read from
  kModel,          // how the network computes outputs from images: evaluation depends on it too
  kTraining,       // everything else that affects the numbers of every step
  kSchedule,       // number of epochs and learning rates: runs are compared by the plan of each epoch
  kAmplification,  // whether and where layers are amplified; without a selection it makes no difference
  kMeasured,       // how layers are selected by a measure; otherwise it makes no difference
  kRandom,         // how layers are selected at random; otherwise it makes no difference
  kDevice,         // the device that computes: devices round differently
  kSpeed,          // speed and memory; the order of sums, and so their rounding, may differ
  kOutput,         // where files are written
  kLogging,        // what else a run logs; it does not change the training
};
using SettingKinds = std::initializer_list<SettingKind>;

/// The kinds of settings that must be equal in two runs whose epochs are compared by their plans (shared_epochs).
/// Those of logging are among them because a branch has its trunk's logs.
inline constexpr SettingKinds kUnplannedKinds = {SettingKind::kImages,   SettingKind::kSource, SettingKind::kModel,
                                                 SettingKind::kTraining, SettingKind::kDevice, SettingKind::kSpeed,
                                                 SettingKind::kLogging};

/// The kind's name, such as "images", in config.json and on the page of settings.
std::string_view name_of(SettingKind kind);

/// The range of valid finite numbers of a setting.
struct SettingRange {
  double min = -std::numeric_limits<double>::infinity();
  double max = std::numeric_limits<double>::infinity();
  bool excludes_min = false, excludes_max = false;

  bool contains(double value) const;
};

/// The first release. All files contain the settings of this release.
inline constexpr std::string_view kFirstRelease = "0.1.0";

struct Setting {
  std::string_view name;   // "batch-size": the option --batch-size and the key in files; see also json_key, variable
  std::string_view group;  // the heading in --help
  SettingKind kind;
  std::string_view unit_name;  // "IMAGES", "FILE"; empty for a switch and for choices, see unit()
  std::string_view help;       // the meaning; {program} stands for the program's name
  std::variant<SettingMember<bool>, SettingMember<int>, SettingMember<std::int64_t>, SettingMember<std::uint64_t>,
               SettingMember<double>, SettingMember<std::string>, SettingMember<Initialization>,
               SettingMember<SelectionMethod>, SettingMember<LayerMeasure>, SettingMember<SelectionCase>,
               SettingMember<Granularity>, SettingMember<Placement>, SettingMember<Schedule>, SettingMember<UpdateRule>,
               SettingMember<BatchNormStatistics>, SettingMember<Precision>, SettingMember<ConvolutionMethod>,
               SettingMember<KeptFiles>, SettingMember<std::vector<LayerType>>>
      member;
  SettingRange range = {};                 // the valid range, if the setting is a number
  std::string_view since = kFirstRelease;  // the release that introduced it; older files lack it and imply its default

  bool is_switch() const { return std::holds_alternative<SettingMember<bool>>(member); }
  bool is_number() const;
  bool is_one_of(SettingKinds kinds) const;
  /// The key in config.json, such as "batch_size".
  std::string json_key() const;
  /// The environment variable, such as "GRADAMP_BATCH_SIZE".
  std::string variable() const;
  /// The unit, such as "IMAGES". For choices it is "update|backprop" or similar, and for a switch it is empty.
  std::string unit() const;
  /// The valid numbers: "at least 1", "0 to 32", "a number in [0, 1)". Empty if the setting is not a number or every
  /// number is valid.
  std::string range_text() const;
};

/// Every setting, in the order of --help.
std::span<const Setting> setting_table();
/// The setting with this name, or null if there is none.
const Setting* find_setting(std::string_view name);

/// The setting's value as text that assign_setting can read.
std::string setting_text(const RunSettings& settings, const Setting& setting);
/// Options of the command line that give a new run these settings: "--seed=2", "--no-flip". Defaults are left out.
std::vector<std::string> setting_arguments(const RunSettings& settings);
/// Sets one value from text. Error ("expected a whole number, got 'many'") if the text cannot be converted to the
/// setting's type. RunSettings::validate checks the ranges.
void assign_setting(RunSettings& settings, const Setting& setting, std::string_view text);
/// Error ("--batch-size: expected at least 1, got 0") unless the setting's number is in its range.
void check_range(const RunSettings& settings, const Setting& setting);

/// Copies the settings of `kinds` from `from` to `to`.
void copy_settings(const RunSettings& from, RunSettings& to, SettingKinds kinds);
/// The values of the settings of `kinds` as one text. Equal texts mean equal settings.
std::string settings_key(const RunSettings& settings, SettingKinds kinds);
/// Whether a setting of this kind affects a run that selects layers by `method`.
bool makes_difference(SettingKind kind, SelectionMethod method);

/// Lists the settings that differ between the runs `expected` and `got`: "expected --seed 1, --flip, got --seed 2,
/// --no-flip". Settings of the kinds `except` and settings that affect neither run are not compared. Empty if none
/// differs.
std::string describe_differences(const RunSettings& expected, const RunSettings& got, SettingKinds except = {});

/// The candidate that `word` is probably a misspelling of, or an empty string if no candidate is similar.
std::string nearest_word(std::string_view word, std::span<const std::string> candidates);
/// The end of a message about an unknown `word`: "did you mean 'X'?" with the nearest candidate, else `otherwise`.
std::string hint_of(std::string_view word, std::span<const std::string> candidates, const std::string& otherwise);
/// The setting that other programs call `word` ("lr": "learning-rate"), or empty.
std::string_view setting_called(std::string_view word);
/// hint_of for a word that is no setting's name.
std::string setting_hint(std::string_view word);

}  // namespace gradamp
