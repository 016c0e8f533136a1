// SPDX-License-Identifier: MIT
#include "gradamp/tools/slurm/slurm_queue.h"

#include <cstdint>
#include <optional>
#include <string>

#include <gtest/gtest.h>

#include "gradamp/tools/slurm/time_limit.h"

namespace gradamp {
namespace {

TEST(SlurmQueue, OnlyTasksThatHaveEndedForGoodAreEnded) {
  for (const char* state : {"RUNNING", "COMPLETING", "SUSPENDED"}) EXPECT_EQ(phase_of(state), SlurmTask::kRunning);
  for (const char* state : {"PENDING", "REQUEUED", "REQUEUE_HOLD", "SPECIAL_EXIT", "of a later Slurm"})
    EXPECT_EQ(phase_of(state), SlurmTask::kQueued) << state;
  for (const char* state : {"COMPLETED", "CANCELLED", "FAILED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY"})
    EXPECT_EQ(phase_of(state), SlurmTask::kEnded) << state;
}

TEST(SlurmQueue, TheLimitOfAnArray) {
  EXPECT_EQ(max_array_size_in(""), 1001U);
  EXPECT_EQ(max_array_size_in("\nMaxArraySize            = 4001\nMaxJobCount = 5\n"), 4001U);
  EXPECT_EQ(max_array_size_in("MaxArraySize  = 4001\nSchedulerParameters = a=1,max_array_tasks=20,b\n"), 20U);
  EXPECT_EQ(max_array_size_in("MaxArraySize = 10\nSchedulerParameters = max_array_tasks=20"), 10U);
  EXPECT_EQ(max_array_size_in("MaxArraySize = 0\n"), 1U);
  EXPECT_EQ(max_array_size_in("MaxArraySize = many\n"), 1001U);
}

TEST(SlurmQueue, AnOptionOfSbatch) {
  const auto time_in = [](const char* options) { return sbatch_option(options, "--time", 't').value_or("none"); };
  EXPECT_EQ(time_in(""), "none");
  EXPECT_EQ(time_in("--time-min=3 --hold -C test --test"), "none");
  EXPECT_EQ(time_in("--time=60"), "60");
  EXPECT_EQ(time_in("-A x -t60"), "60");
  EXPECT_EQ(time_in("-t 1-2"), "1-2");
  EXPECT_EQ(time_in("  --comment='a --time=1' --time '6 0'\t"), "6 0");
  EXPECT_EQ(time_in("--time=1 --time=2"), "2");
  EXPECT_EQ(processors_of_task(""), 1);
  EXPECT_EQ(processors_of_task("--gres=gpu:1 -c8"), 8);
  EXPECT_EQ(processors_of_task("--cpus-per-task=4"), 4);
  EXPECT_EQ(processors_of_task("--cpus-per-task=$N"), 1);
}

TEST(SlurmQueue, TheTimeLimitOfAPartition) {
  const std::string all = "cpu|30:00\nall*|2-01:00:00\ngpu|1:30:30\nfree|infinite\n";
  EXPECT_EQ(partition_minutes_in(all, ""), 49 * 60);
  EXPECT_EQ(partition_minutes_in(all, "cpu"), 30);
  EXPECT_EQ(partition_minutes_in(all, "cpu,gpu"), 90);
  EXPECT_EQ(partition_minutes_in(all, "free"), std::nullopt);
  EXPECT_EQ(partition_minutes_in(all, "cpu,free"), std::nullopt);
  EXPECT_EQ(partition_minutes_in(all, "other"), std::nullopt);
  EXPECT_EQ(partition_minutes_in("", ""), std::nullopt);
}

TEST(SlurmQueue, TheSuggestedTimeHasItsMargin) {
  EXPECT_EQ(suggested_minutes(0), 5);
  EXPECT_EQ(suggested_minutes(1), 6);
  EXPECT_EQ(suggested_minutes(3600), 95);
  EXPECT_GT(suggested_minutes(1e300), 0);
}

}  // namespace
}  // namespace gradamp
