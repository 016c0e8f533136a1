// SPDX-License-Identifier: MIT
#include <gtest/gtest.h>

#include <map>
#include <string>

#include "gradamp/tools/ranks/ranks.h"

namespace gradamp {
namespace {

Launch launch_in(const std::map<std::string, std::string>& variables) {
  return launch_of([&](const char* name) -> const char* {
    const auto found = variables.find(name);
    return found == variables.end() ? nullptr : found->second.c_str();
  });
}

TEST(Launch, IsWhatTheLauncherSays) {
  const auto is = [](const Launch& launch, int size, int rank) { return launch.size == size && launch.rank == rank; };
  EXPECT_TRUE(is(launch_in({}), 1, 0));
  EXPECT_TRUE(is(launch_in({{"OMPI_COMM_WORLD_SIZE", "4"}, {"OMPI_COMM_WORLD_RANK", "3"}}), 4, 3));
  EXPECT_TRUE(is(launch_in({{"PMI_SIZE", "2"}, {"PMI_RANK", "1"}}), 2, 1));
  EXPECT_TRUE(is(launch_in({{"SLURM_STEP_NUM_TASKS", "8"}, {"PMIX_RANK", "7"}}), 8, 7));
  EXPECT_TRUE(is(launch_in({{"OMPI_COMM_WORLD_SIZE", "1"}, {"OMPI_COMM_WORLD_RANK", "0"}}), 1, 0));
  // Tasks of Slurm that are no ranks: a batch script, or srun without MPI.
  EXPECT_TRUE(is(launch_in({{"SLURM_STEP_NUM_TASKS", "8"}, {"SLURM_PROCID", "7"}}), 1, 0));
  EXPECT_TRUE(is(launch_in({{"OMPI_COMM_WORLD_SIZE", "many"}, {"OMPI_COMM_WORLD_RANK", "0"}}), 1, 0));
}

}  // namespace
}  // namespace gradamp
