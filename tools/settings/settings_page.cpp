// SPDX-License-Identifier: MIT
#include "gradamp/tools/settings/settings_page.h"

#include <algorithm>

#include <fmt/format.h>

#include "gradamp/core/command_name.h"
#include "gradamp/tools/settings/setting_table.h"

namespace gradamp {
namespace {

constexpr const char* kIntroduction =
    R"(# The settings of a run

This page is written by `gradamp info --settings` from the table in `setting_table.cpp`; do not edit it. After a change
of the table: `build/gradamp info --settings > tools/settings/README.md`.

A value comes from the command line (`--batch-size 64`), else from the environment (`GRADAMP_BATCH_SIZE=64`), else from
the file of `--config` or of a sweep (`batch-size = 64`), else it is the default. A switch is `--flip` or `--no-flip` on
the command line and `true` or `false` elsewhere. In a run's `config.json` the key has `_` for `-`: `batch_size`.

"since" is the release that brought the setting. Files of earlier releases lack it and are read with its default.

A setting has a kind, which `config.json` has too. It says what a difference between two runs means:
)";

struct KindText {
  SettingKind kind;
  const char* text;
};

constexpr KindText kKindTexts[] = {
    {SettingKind::kImages, "which images are trained and evaluated on"},
    {SettingKind::kSource, "where these images are read from; no difference in a report"},
    {SettingKind::kModel, "what turns images into outputs; evaluation depends on it, too"},
    {SettingKind::kTraining, "what else decides the numbers of every step"},
    {SettingKind::kSchedule, "number of epochs and learning rates; runs are compared by the plan of each epoch"},
    {SettingKind::kAmplification, "whether and where layers are amplified; makes no difference without a selection"},
    {SettingKind::kMeasured, "how layers are selected by a measure; makes no difference otherwise"},
    {SettingKind::kRandom, "how layers are selected at random; makes no difference otherwise"},
    {SettingKind::kDevice, "the device; a sweep's cell takes it when it begins; other devices round in other ways"},
    {SettingKind::kSpeed, "speed and memory; may change rounding, is no difference in a report or a sweep"},
    {SettingKind::kOutput, "where files are written; no difference"},
    {SettingKind::kLogging, "what else is logged; it does not change the training, and is no difference in a report"},
};

/// Escapes the text of a table's cell, because a | would end the cell.
std::string cell(std::string text) {
  for (std::size_t i = 0; (i = text.find('|', i)) != text.npos; i += 2) text.insert(i, "\\");
  return text;
}

std::string values_text(const Setting& setting) {
  if (setting.is_switch()) return "true, false";
  const std::string unit = setting.unit(), range = setting.range_text();
  return range.empty() ? unit : fmt::format("{}: {}", unit, range);
}

std::string row(const Setting& setting) {
  const std::string value = setting_text(RunSettings(), setting);
  return fmt::format("| `--{}` | `{}` | `{}` | {} | {} | {} | {} | {} |\n", setting.name, setting.name,
                     setting.variable(), cell(values_text(setting)), value.empty() ? "" : "`" + value + "`",
                     name_of(setting.kind), setting.since, cell(with_command_name(setting.help, "gradamp")));
}

}  // namespace

std::string settings_page() {
  std::string page = kIntroduction;
  page += "\n| kind | settings of this kind |\n|---|---|\n";
  for (const KindText& kind : kKindTexts) page += fmt::format("| {} | {} |\n", name_of(kind.kind), kind.text);
  std::string_view group;
  for (const Setting& setting : setting_table()) {
    if (setting.group != group) {
      group = setting.group;
      page += fmt::format(
          "\n## {}\n\n| option | key in files | environment variable | values | default | kind | since | "
          "meaning |\n|---|---|---|---|---|---|---|---|\n",
          group);
    }
    page += row(setting);
  }
  return page;
}

}  // namespace gradamp
