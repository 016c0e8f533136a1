// SPDX-License-Identifier: MIT
// The one list of a run's settings: what each is called, what it means and where it lives in RunSettings. The command
// line, the environment, configuration files, config.json and --help all follow it.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "gradamp/tools/settings/settings.h"

namespace gradamp {

template <typename T>
using SettingMember = T RunSettings::*;

struct Setting {
  std::string_view name;   // "batch-size": the option --batch-size and the key in files; see also json_key, variable
  std::string_view group;  // the heading in --help
  std::string_view unit;   // "IMAGES", "FILE", or the choices "G|g"; empty for a switch
  std::string_view help;
  std::variant<SettingMember<bool>, SettingMember<int>, SettingMember<std::int64_t>, SettingMember<std::uint64_t>,
               SettingMember<double>, SettingMember<std::string>, SettingMember<Initialization>,
               SettingMember<SelectionMethod>, SettingMember<LayerMeasure>, SettingMember<SelectionCase>,
               SettingMember<Granularity>, SettingMember<Placement>, SettingMember<Precision>,
               SettingMember<std::vector<LayerType>>>
      member;

  bool is_switch() const { return std::holds_alternative<SettingMember<bool>>(member); }
  /// "batch_size", in config.json.
  std::string json_key() const;
  /// "GRADAMP_BATCH_SIZE", in the environment.
  std::string variable() const;
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

/// Of `candidates`, the one that `word` is a likely misspelling of; empty where none is near.
std::string nearest_word(std::string_view word, std::span<const std::string> candidates);

}  // namespace gradamp
