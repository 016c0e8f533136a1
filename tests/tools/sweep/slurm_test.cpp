// SPDX-License-Identifier: MIT
// Tests of the scripts for Slurm without Slurm. slurm_test.py tests them on a private one.
#include "gradamp/tools/sweep/slurm.h"

#include <filesystem>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "gradamp/core/error.h"
#include "gradamp/tests/data/files/scratch_folder.h"

namespace gradamp {
namespace {

/// A line #SBATCH ends at a line break, so the rest of the name would be a command.
TEST(SlurmScripts, AFolderWithALineBreakIsRefusedBeforeAnythingIsMade) {
  const ScratchFolder scratch;
  std::istringstream file("network = resnet8\nseed = [1, 2]\n[original]");
  const std::vector<SweepCell> cells = read_sweep(file, "s.toml");
  for (const char* name : {"a\ntouch b #", "a\rb", "a\x1b[2J"}) {
    const SweepFolder folder(scratch.path() / name, cells);
    try {
      submit_to_slurm(folder, {"", {}, ""});
      ADD_FAILURE() << "no Error for " << name;
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), testing::StartsWith("--slurm: expected a folder whose path has no line break"));
    }
    EXPECT_TRUE(std::filesystem::is_empty(scratch.path()));
  }
}

}  // namespace
}  // namespace gradamp
