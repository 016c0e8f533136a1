// SPDX-License-Identifier: MIT
// Tests of launchers that do not end with their runs. ranks_test.py tests those that do.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <string>

#include "gradamp/tests/data/files/scratch_folder.h"
#include "gradamp/tests/tools/run/runs.h"
#include "gradamp/tools/sweep/sweep_runner.h"

namespace gradamp {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;
using ::testing::StartsWith;

class LauncherTest : public testing::Test {
 protected:
  /// The report of a sweep's only run if `script` launches it, and how long that took. The run's lock is $1.
  JobReport report_of(const std::string& script, std::chrono::milliseconds patience) {
    const SweepFolder folder(scratch_ / "sweep", {{"original", "beginning", test::small_run(scratch_ / "none")}});
    folder.write("[original]");
    const std::filesystem::path run = folder.jobs().front().settings.run_folder;
    std::filesystem::create_directories(run);
    SweepOptions options;
    options.launcher = {"sh", "-c", script, "sh", (run / "lock").string()};
    options.launcher_patience = patience;
    const auto begin = std::chrono::steady_clock::now();
    const JobReport report = run_sweep(folder, options).front();
    elapsed_ = std::chrono::steady_clock::now() - begin;
    return report;
  }

  ScratchFolder scratch_;
  std::chrono::steady_clock::duration elapsed_{};
};

// The child of the launcher, which would hold the log's lock, ends with it.
TEST_F(LauncherTest, IsKilledIfItOutlivesItsRun) {
  const JobReport report = report_of("flock \"$1\" sleep 1; sleep 30 & wait", 500ms);
  EXPECT_LT(elapsed_, 15s);
  EXPECT_EQ(report.state, JobState::kFailed);
  EXPECT_THAT(report.failure, StartsWith("ended by signal 9 (Killed)"));
}

TEST_F(LauncherTest, StaysWhileItsRunIsAtWorkAndBeforeThat) {
  const JobReport report = report_of("sleep 1; flock \"$1\" sleep 1; exit 3", 500ms);
  EXPECT_THAT(report.failure, HasSubstr("ended with exit code 3"));
}

TEST_F(LauncherTest, StaysIfItsRunCannotBeSeen) {
  const JobReport report = report_of("flock \"$1\" sleep 1; ln -sf lock \"$1\"; sleep 2; exit 3", 500ms);
  EXPECT_THAT(report.failure, HasSubstr("ended with exit code 3"));
}

}  // namespace
}  // namespace gradamp
