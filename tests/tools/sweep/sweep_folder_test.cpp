// SPDX-License-Identifier: MIT
// Tests of what a sweep reads about its runs. sweep_test.py tests whole sweeps.
#include "gradamp/tools/sweep/sweep_folder.h"

#include <sys/file.h>

#include <fcntl.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "gradamp/core/command_name.h"
#include "gradamp/data/files/open_file.h"
#include "gradamp/tests/core/error_of.h"
#include "gradamp/tests/data/files/failing_file_system.h"
#include "gradamp/tests/data/files/scratch_folder.h"
#include "gradamp/tests/tools/run/runs.h"
#include "gradamp/tools/sweep/child_process.h"

namespace gradamp {
namespace {

using test::error_of;
using ::testing::EndsWith;

class LogTest : public testing::Test {
 protected:
  LogTest() { set_command_name("gradamp"); }
  std::string reason_of(const std::string& text, int exit_code = 1) {
    put_text(log_, text);
    return failure_reason(log_, exit_code);
  }

  ScratchFolder folder_;
  const std::filesystem::path log_ = folder_ / "a.log";
};

TEST_F(LogTest, TheReasonIsTheLastMessage) {
  EXPECT_EQ(reason_of("gradamp: first\nepoch 1\ngradamp: no space\nsee gradamp: it\n"), "no space");
  EXPECT_EQ(reason_of("gradamp: torn"), "torn");
  EXPECT_EQ(reason_of("gradamp: first\n", 128 + 9), "ended by signal 9 (Killed); see " + log_.string());
  EXPECT_EQ(reason_of("", 3), "ended with exit code 3; see " + log_.string());
  EXPECT_EQ(reason_of("xgradamp: no message\n", 3), "ended with exit code 3; see " + log_.string());
}

TEST_F(LogTest, OnlyTheEndOfALongLogIsRead) {
  const std::string lines(300000, '\n');
  EXPECT_EQ(reason_of(lines + "gradamp: the end\n"), "the end");
  EXPECT_EQ(reason_of("gradamp: long ago\n" + lines), "ended with exit code 1; see " + log_.string());
}

TEST_F(LogTest, ALogThatCannotBeReadIsNotOneWithoutAMessage) {
  EXPECT_EQ(failure_reason(folder_ / "missing", 1),
            "ended with exit code 1; cannot read " + (folder_ / "missing").string() + ": No such file or directory");
  put_text(log_, "gradamp: no space\n");
  const auto read = [&](FileSystem& file_system) { return failure_reason(log_, 1, file_system); };
  for (int at = 1; at <= count_calls(read); ++at) {
    FailingFileSystem broken(Fault::kIoError, at), interrupted(Fault::kInterrupted, at);
    EXPECT_EQ(read(broken), "ended with exit code 1; cannot read " + log_.string() + ": Input/output error") << at;
    EXPECT_EQ(read(interrupted), "no space") << at;
  }
}

TEST_F(LogTest, ALockedLogIsThatOfARunningProcess) {
  const auto look = [&](FileSystem& file_system) { return ChildProcess::is_at_work(log_, file_system); };
  EXPECT_FALSE(look(real_file_system()));  // there is no log
  put_text(log_, "");
  EXPECT_FALSE(look(real_file_system()));
  OpenFile held(real_file_system(), log_, O_RDONLY);
  ASSERT_TRUE(held.lock(LOCK_EX));
  EXPECT_TRUE(look(real_file_system()));
  FailingFileSystem without_locks;
  without_locks.refuse_locks();
  EXPECT_FALSE(look(without_locks));
  for (const int at : {1, 2}) {  // to open it, to lock it
    FailingFileSystem broken(Fault::kIoError, at), too_many(Fault::kTooManyOpen, at);
    EXPECT_THAT(error_of([&] { look(broken); }), EndsWith(log_.string() + ": Input/output error")) << at;
    EXPECT_TRUE(look(too_many)) << at;
  }
}

TEST(SweepFolderTest, AFailureAfterTheLastFileOfAJobIsForgotten) {
  const ScratchFolder scratch;
  const SweepFolder folder(scratch / "sweep", {{"original", "beginning", test::small_run(scratch / "none")}});
  folder.write("[original]");
  const SweepJob& job = folder.jobs().at(0);
  ASSERT_EQ(test::train_in_child(job.settings), 0);
  const std::filesystem::path of_run = std::filesystem::path(job.settings.run_folder) / "failure.txt";
  folder.write_failure(job, "syncing the folder failed");
  put_text(of_run, "syncing the folder failed\n");
  for (const std::filesystem::path& path : {job.failure, of_run})
    put_text(path.string() + ".gradamp-tmp", "syncing");  // by a kill while another failure was written
  EXPECT_EQ(folder.report(job).state, JobState::kDone);
  folder.forget_failure(job);
  for (const std::filesystem::path& path : {job.failure, of_run}) {
    EXPECT_FALSE(std::filesystem::exists(path));
    EXPECT_FALSE(std::filesystem::exists(path.string() + ".gradamp-tmp")) << path;
  }
}

}  // namespace
}  // namespace gradamp
