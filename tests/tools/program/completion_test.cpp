// SPDX-License-Identifier: MIT
// The scripts of `gradamp completion`, run by the shells that are there.
#include "gradamp/tools/program/completion.h"

#include <cstdlib>
#include <string>
#include <variant>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "gradamp/tests/core/error_of.h"
#include "gradamp/tests/data/files/scratch_folder.h"
#include "gradamp/tools/program/options.h"
#include "gradamp/tools/settings/setting_table.h"

namespace gradamp {
namespace {

using testing::HasSubstr;

std::string script_of(const std::string& shell) {
  const auto no_variable = [](const char*) -> const char* { return nullptr; };
  return std::get<ShowText>(parse_command_line({"completion", shell}, no_variable)).text;
}

class Completion : public testing::Test {
 protected:
  /// What bash completes at the end of the line's words; the last may be empty.
  std::string completed(const std::string& words) const {
    put_text(folder_ / "script", script_of("bash"));
    put_text(folder_ / "test", "compopt() { echo FILES; }\n. ./script\nCOMP_WORDS=(gradamp " + words +
                                   ")\nCOMP_CWORD=$((${#COMP_WORDS[@]} - 1))\n_gradamp\necho \"${COMPREPLY[@]}\"\n");
    const std::string command = "cd '" + folder_.path().string() + "' && bash ./test >out 2>&1";
    EXPECT_EQ(std::system(command.c_str()), 0) << text_of(folder_ / "out");
    return text_of(folder_ / "out");
  }

  ScratchFolder folder_;
};

TEST_F(Completion, OfBashCompletesCommandsOptionsAndValues) {
  EXPECT_EQ(completed("tr"), "train\n");
  EXPECT_EQ(completed("data ''"), "FILES\nfetch make verify --help\n");
  EXPECT_EQ(completed("train --epo"), "--epochs\n");
  EXPECT_EQ(completed("train --network resnet5"), "resnet56 resnet50\n");
  EXPECT_EQ(completed("train --network = resnet5"), "resnet56 resnet50\n");  // bash splits at =
  EXPECT_EQ(completed("train --network ="), completed("train --network ''"));
  EXPECT_EQ(completed("train --measure g-"), "g-prime\n");
  EXPECT_EQ(completed("train --seed ''"), "\n");  // any number
  EXPECT_EQ(completed("train --config ''"), "FILES\n\n");
  EXPECT_EQ(completed("train --resume l"), "FILES\nlast\n");
  EXPECT_EQ(completed("sweep cifar100-deep-s"), "FILES\ncifar100-deep-small\n");
  EXPECT_EQ(completed("runs compare --js"), "--json\n");
  EXPECT_EQ(completed("--ver"), "--version\n");
  EXPECT_EQ(completed("completion z"), "FILES\nzsh\n");
  EXPECT_EQ(completed("evaluate --epo"), "\n");  // not an option of evaluate
}

// A setting that is added to the table is completed without a change elsewhere.
TEST_F(Completion, HasEverySettingInEveryShell) {
  const std::string bash = script_of("bash"), zsh = script_of("zsh"), fish = script_of("fish");
  for (const Setting& setting : setting_table()) {
    const std::string name(setting.name);
    EXPECT_THAT(bash, HasSubstr(" --" + name + " ")) << name;
    EXPECT_THAT(zsh, HasSubstr(" '--" + name + ":")) << name;
    EXPECT_THAT(fish, HasSubstr("-n '__gradamp_in \"train\"' -l " + name + " ")) << name;
  }
  EXPECT_THAT(fish, HasSubstr("-l measure -x -a 'g g-prime' -d '"));
  EXPECT_THAT(zsh, HasSubstr("\"train:--measure\") compadd -- g g-prime; return ;;"));
}

/// Skips what cannot be run here; the texts above are checked everywhere.
void expect_valid(const std::string& shell, const std::string& options) {
  const ScratchFolder folder;
  if (std::system(("command -v " + shell + " >/dev/null").c_str()) != 0) return;
  put_text(folder / "script", script_of(shell));
  EXPECT_EQ(std::system((shell + " " + options + " '" + (folder / "script").string() + "'").c_str()), 0) << shell;
}

TEST_F(Completion, IsValidInItsShell) {
  expect_valid("bash", "-n");
  expect_valid("zsh", "-n");
  expect_valid("fish", "--no-execute");
}

TEST_F(Completion, OfAnotherShellIsRefused) {
  EXPECT_EQ(test::error_of([] { script_of("csh"); }), "expected one of the shells bash, zsh, fish, got 'csh'");
  EXPECT_EQ(test::error_of([] { script_of(""); }), "expected one of the shells bash, zsh, fish");
}

}  // namespace
}  // namespace gradamp
