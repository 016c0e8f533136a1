// SPDX-License-Identifier: MIT
// Tests of the scripts for Slurm without Slurm. slurm_test.py tests them on a private one.
#include "gradamp/tools/sweep/slurm.h"

#include <cstdlib>
#include <filesystem>
#include <optional>
#include <sstream>
#include <string>
#include <string_view>

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
      submit_to_slurm(folder, {"", {}, "", "", std::nullopt});
      ADD_FAILURE() << "no Error for " << name;
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), testing::StartsWith("--slurm: expected a folder whose path has no line break"));
    }
    EXPECT_TRUE(std::filesystem::is_empty(scratch.path()));
  }
}

TEST(SlurmScripts, APrologueIsCheckedBeforeItIsUsed) {
  const ScratchFolder scratch;
  const std::filesystem::path file = scratch / "prologue";
  const auto refused = [&](std::string_view text) {
    put_text(file, text);
    return test::error_of([&] { read_prologue(file); });
  };
  EXPECT_EQ(test::error_of([&] { read_prologue(file); }),
            "--slurm-prologue: cannot read " + file.string() + ": No such file or directory");
  EXPECT_THAT(test::error_of([&] { read_prologue(scratch.path()); }), testing::HasSubstr("it is a folder"));
  EXPECT_THAT(refused("module load cuda\r\n"), testing::HasSubstr("Unix line ends, got a carriage return"));
  EXPECT_THAT(refused(std::string_view("a\0b", 3)), testing::HasSubstr("or a NUL"));
  EXPECT_THAT(refused("module load cuda\n#SBATCH --time=3"), testing::HasSubstr("give it with --sbatch"));
  EXPECT_EQ(refused("module load cuda #SBATCH"), "");
  EXPECT_EQ(read_prologue(file), "module load cuda #SBATCH\n\n");
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
