// SPDX-License-Identifier: MIT
// Tests that the committed page of settings agrees with the table.
#include "gradamp/tools/settings/settings_page.h"

#include <filesystem>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "gradamp/tests/data/files/scratch_folder.h"
#include "gradamp/tools/settings/setting_table.h"

namespace gradamp {
namespace {

using testing::HasSubstr;

TEST(SettingsPage, IsTheTables) {
  const std::filesystem::path page = std::filesystem::path(GRADAMP_TEST_DATA) / "../tools/settings/README.md";
  EXPECT_TRUE(text_of(page) == settings_page())
      << "tools/settings/README.md is not what the table of settings says; write it anew:\n"
         "  build/gradamp info --settings > tools/settings/README.md";
}

TEST(SettingsPage, HasARowForEverySetting) {
  const std::string page = settings_page();
  for (const Setting& setting : setting_table())
    EXPECT_THAT(page, HasSubstr(fmt::format("\n| `--{0}` | `{0}` | `{1}` | ", setting.name, setting.variable())));
  EXPECT_THAT(page,
              HasSubstr("| `--batch-size` | `batch-size` | `GRADAMP_BATCH_SIZE` | IMAGES: 1 to 2147483647 | `128` "
                        "| training | 0.1.0 | images in a step |\n"));
  EXPECT_THAT(page, HasSubstr("`GRADAMP_FLIP` | true, false | `true` | training |"));
  EXPECT_THAT(page, HasSubstr("`GRADAMP_SELECTION` | measure\\|random\\|none | `measure` | amplification |"));
  EXPECT_THAT(page, HasSubstr("`GRADAMP_DATA` | PATH |  | source |")) << "an empty default";
}

/// The page explains every kind before the first group.
TEST(SettingsPage, ExplainsTheKinds) {
  const std::string page = settings_page(), kinds = page.substr(0, page.find("\n## "));
  for (const Setting& setting : setting_table())
    EXPECT_THAT(kinds, HasSubstr(fmt::format("\n| {} | ", name_of(setting.kind))));
}

}  // namespace
}  // namespace gradamp
