// SPDX-License-Identifier: MIT
// The one list of a run's settings: what each is called, of what kind it is, what it means, which values it takes and
// where it lives in RunSettings. The command line, the environment, configuration files, config.json, --help, the page
// tools/settings/README.md, comparisons of runs and the report all follow it.
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

/// What a setting is about, and with it what a difference between two runs means. config.json has the kind of every
/// setting, so that the report groups runs by the kinds that the program knew when it trained them.
enum class SettingKind {
  kImages,         // which images are trained and evaluated on
  kSource,         // where these images are read from
  kModel,          // what turns images into outputs: evaluation depends on it, too
  kTraining,       // what else decides the numbers of every step
  kSchedule,       // number of epochs and learning rates: what counts is the plan of each epoch
  kAmplification,  // whether and where layers are amplified; without a selection it makes no difference
  kMeasured,       // how layers are selected by a measure; otherwise it makes no difference
  kRandom,         // how layers are selected at random; otherwise it makes no difference
  kDevice,         // the device that computes: other devices round in other ways
  kSpeed,          // speed and memory; sums may be rounded in another order
  kOutput,         // where files are written
};
using SettingKinds = std::initializer_list<SettingKind>;

/// "images", in config.json and on the page of settings.
std::string_view name_of(SettingKind kind);

/// The finite numbers that a setting takes.
struct SettingRange {
  double min = -std::numeric_limits<double>::infinity();
  double max = std::numeric_limits<double>::infinity();
  bool excludes_min = false, excludes_max = false;

  bool contains(double value) const;
};

/// The first release; settings that came with it are in all files.
inline constexpr std::string_view kFirstRelease = "0.1.0";

struct Setting {
  std::string_view name;   // "batch-size": the option --batch-size and the key in files; see also json_key, variable
  std::string_view group;  // the heading in --help
  SettingKind kind;
  std::string_view unit_name;  // "IMAGES", "FILE"; empty for a switch and for choices, see unit()
  std::string_view help;       // with {program} for the name of the program
  std::variant<SettingMember<bool>, SettingMember<int>, SettingMember<std::int64_t>, SettingMember<std::uint64_t>,
               SettingMember<double>, SettingMember<std::string>, SettingMember<Initialization>,
               SettingMember<SelectionMethod>, SettingMember<LayerMeasure>, SettingMember<SelectionCase>,
               SettingMember<Granularity>, SettingMember<Placement>, SettingMember<Precision>,
               SettingMember<std::vector<LayerType>>>
      member;
  SettingRange range = {};                 // of a number
  std::string_view since = kFirstRelease;  // the release that brought it; older files lack it, and it has its default

  bool is_switch() const { return std::holds_alternative<SettingMember<bool>>(member); }
  bool is_number() const;
  bool is_one_of(SettingKinds kinds) const;
  /// "batch_size", in config.json.
  std::string json_key() const;
  /// "GRADAMP_BATCH_SIZE", in the environment.
  std::string variable() const;
  /// The meaning, for a program of this name.
  std::string help_text(std::string_view program) const;
  /// "IMAGES"; of choices "update|backprop"; of a switch empty.
  std::string unit() const;
  /// The numbers that it takes: "at least 1", "0 to 32", "a number in [0, 1)"; empty if it is no number or any is good.
  std::string range_text() const;
};

/// Every setting, in the order of --help.
std::span<const Setting> setting_table();
/// Null where there is none of that name.
const Setting* find_setting(std::string_view name);

/// The value as assign_setting reads it.
std::string setting_text(const RunSettings& settings, const Setting& setting);
/// Sets one value from text. Error ("expected a whole number, got 'many'") where it cannot be read as the setting's
/// type; ranges are checked by RunSettings::validate.
void assign_setting(RunSettings& settings, const Setting& setting, std::string_view text);
/// Error ("--batch-size: expected at least 1, got 0") unless the setting's number is in its range.
void check_range(const RunSettings& settings, const Setting& setting);

/// Sets the settings of `kinds` to what they are in `from`.
void copy_settings(const RunSettings& from, RunSettings& to, SettingKinds kinds);
/// The values of the settings of `kinds` as one text, to compare.
std::string settings_key(const RunSettings& settings, SettingKinds kinds);
/// Whether a setting of this kind changes anything in a run whose layers are selected by `method`.
bool makes_difference(SettingKind kind, SelectionMethod method);

/// Which settings differ, as "expected --seed 1, --flip, got --seed 2, --no-flip", where `expected` and `got` are
/// the settings of two runs. Those of the kinds `except` and those that make no difference to either run are not
/// compared. Empty if none differs.
std::string describe_differences(const RunSettings& expected, const RunSettings& got, SettingKinds except = {});

/// Of `candidates`, the one that `word` is a likely misspelling of; empty where none is near.
std::string nearest_word(std::string_view word, std::span<const std::string> candidates);

}  // namespace gradamp
