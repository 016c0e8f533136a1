// SPDX-License-Identifier: MIT
// Tests of the scripts for Slurm without Slurm. slurm_test.py tests them on a private one.
#include "gradamp/tools/sweep/slurm.h"

#include <cstdlib>
#include <filesystem>
#include <optional>
#include <sstream>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "gradamp/core/error.h"
#include "gradamp/core/processors.h"
#include "gradamp/tests/core/error_of.h"
#include "gradamp/tests/data/files/scratch_folder.h"
#include "gradamp/tools/sweep/sweep_runner.h"

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
      submit_to_slurm(folder, {});
      ADD_FAILURE() << "no Error for " << name;
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), testing::StartsWith("--slurm: expected a folder whose path has no line break"));
    }
    EXPECT_TRUE(std::filesystem::is_empty(scratch.path()));
  }
}

TEST(SlurmScripts, ACellWhoseShardsAreTooFewForTheRanksIsRefusedBeforeAnythingIsMade) {
  const ScratchFolder scratch;
  std::istringstream file("network = resnet8\nshards = [8, 2]\n[original]");
  const SweepFolder folder(scratch / "sweep", read_sweep(file, "s.toml"));
  check_submission(folder, 2);
  SweepSubmission submission;
  submission.ranks = 4;
  EXPECT_EQ(
      test::error_of([&] { submit_to_slurm(folder, submission); }),
      "--ranks: original_shards-2: 4 ranks share the shards of each batch: expected 4 shards or a larger power of "
      "two, got 2");
  EXPECT_THAT(test::error_of([&] { check_submission(folder, 3); }),
              testing::StartsWith("--ranks: original_shards-8: expected 1, 2, 4, ... up to 8 ranks"));
  EXPECT_TRUE(std::filesystem::is_empty(scratch.path()));
}

/// Sets or unsets (null) an environment variable for one test.
class EnvironmentVariable {
 public:
  EnvironmentVariable(const char* name, const char* value) : name_(name) {
    if (const char* const before = std::getenv(name)) before_ = before;
    set(value);
  }
  ~EnvironmentVariable() { set(before_ ? before_->c_str() : nullptr); }

 private:
  void set(const char* value) const { value == nullptr ? ::unsetenv(name_) : ::setenv(name_, value, 1); }

  const char* name_;
  std::optional<std::string> before_;
};

TEST(SlurmThreads, ATaskHasItsProcessors) {
  const EnvironmentVariable threads("OMP_NUM_THREADS", nullptr), before("SLURM_CPUS_PER_TASK", nullptr);
  const EnvironmentVariable on_node("SLURM_CPUS_ON_NODE", "1000");
  EXPECT_EQ(threads_of_job(1), usable_processors());
  const EnvironmentVariable per_task("SLURM_CPUS_PER_TASK", "1");
  EXPECT_EQ(threads_of_job(1), 1);
}

}  // namespace
}  // namespace gradamp
