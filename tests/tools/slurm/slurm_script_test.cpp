// SPDX-License-Identifier: MIT
// Tests of the scripts for Slurm without Slurm. slurm_test.py tests them on a private one.
#include "gradamp/tools/slurm/slurm_script.h"

#include <filesystem>
#include <string>
#include <string_view>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "gradamp/tests/core/error_of.h"
#include "gradamp/tests/data/files/scratch_folder.h"

namespace gradamp {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

TEST(SlurmScript, APrologueIsCheckedBeforeItIsUsed) {
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

TEST(SlurmScript, OfOneProcessHasNoSrun) {
  SlurmScript script{"a \"name\"", "0-3,7", "/logs/100%", 0, "\"${launcher[@]}\" program --only 3", "before\n"};
  const std::string text = script_text(script, {"", "prologue\n\n", 1});
  EXPECT_THAT(text, HasSubstr("#!/bin/bash\n#SBATCH --job-name=\"a \\\"name\\\"\"\n#SBATCH --array=0-3,7\n"
                              "#SBATCH --output=\"/logs/100%%\"/%A_%a.log\n"));
  EXPECT_THAT(text, HasSubstr("launcher=()\nprologue\n\nset +eu"));
  EXPECT_THAT(text, HasSubstr("expected\nbefore\n\"${launcher[@]}\" program --only 3 &\n"));
  EXPECT_THAT(text, AllOf(Not(HasSubstr("--time")), Not(HasSubstr("srun --")), Not(HasSubstr("--ntasks"))));
  script.minutes = 7;
  EXPECT_THAT(script_text(script, {}), HasSubstr("\n#SBATCH --time=7\n"));
}

TEST(SlurmScript, OfSeveralRanksStartsThemBySrunBeforeTheLauncherOfThePrologue) {
  const SlurmScript script{"name", "0", "/logs", 7, "\"${launcher[@]}\" program"};
  const std::string text = script_text(script, {"", "launcher=(container)\n\n", 4});
  EXPECT_THAT(text, HasSubstr("\n#SBATCH --time=7\n#SBATCH --ntasks=4\n"));
  const std::size_t prologue = text.find("launcher=(container)"), srun = text.find("launcher=(srun --ntasks=4 --mpi=");
  ASSERT_NE(srun, text.npos);
  EXPECT_LT(prologue, srun);
  EXPECT_LT(srun, text.find("\"${launcher[@]}\" program &"));
}

}  // namespace
}  // namespace gradamp
