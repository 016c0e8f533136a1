// SPDX-License-Identifier: MIT
#include "gradamp/data/files/file_lock.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <csignal>
#include <string>

#include "gradamp/tests/core/error_of.h"
#include "gradamp/tests/data/files/failing_file_system.h"
#include "gradamp/tests/data/files/scratch_folder.h"

namespace gradamp {
namespace {

using test::error_of;
using ::testing::HasSubstr;
using ::testing::MatchesRegex;

// A child process that holds the lock until it is killed.
class Holder {
 public:
  explicit Holder(const std::filesystem::path& path) {
    std::array<int, 2> ready{};
    if (::pipe(ready.data()) != 0) throw std::runtime_error("no pipe");
    child_ = ::fork();
    if (child_ == 0) {
      FileLock lock(path);
      const char held = lock.try_acquire() == LockState::kHeld ? 'y' : 'n';
      if (::write(ready[1], &held, 1) != 1) ::_exit(1);
      ::pause();
      ::_exit(0);
    }
    char held = '?';
    if (::read(ready[0], &held, 1) != 1 || held != 'y') throw std::runtime_error("the child has no lock");
    for (const int end : ready) ::close(end);
  }
  ~Holder() { kill(); }
  Holder(const Holder&) = delete;
  Holder& operator=(const Holder&) = delete;

  pid_t id() const { return child_; }
  void kill() {
    if (child_ <= 0) return;
    ::kill(child_, SIGKILL);
    ::waitpid(child_, nullptr, 0);
    child_ = 0;
  }

 private:
  pid_t child_ = 0;
};

TEST(FileLock, IsHeldByOneAtATime) {
  const ScratchFolder folder;
  {
    FileLock first(folder / "lock"), second(folder / "lock");
    EXPECT_EQ(first.try_acquire(), LockState::kHeld);
    EXPECT_EQ(first.try_acquire(), LockState::kHeld);
    EXPECT_EQ(second.try_acquire(), LockState::kOfOther);
  }
  FileLock third(folder / "lock");
  EXPECT_EQ(third.try_acquire(), LockState::kHeld);
  EXPECT_EQ(folder.names(), std::set<std::string>{"lock"});
}

TEST(FileLock, SaysWhichProcessHoldsItOnWhichHostAndSinceWhen) {
  const ScratchFolder folder;
  Holder holder(folder / "lock");
  FileLock lock(folder / "lock");
  ASSERT_EQ(lock.try_acquire(), LockState::kOfOther);
  EXPECT_THAT(lock.holder(),
              MatchesRegex("process " + std::to_string(holder.id()) + " on [^ ]+, since 20..-..-.. ..:..:.. UTC"));
  put_text(folder / "other", "\x1b[31m not ours\n");
  EXPECT_EQ(FileLock(folder / "other").holder(), "another process");
  EXPECT_EQ(FileLock(folder / "empty").holder(), "another process");
}

TEST(FileLock, OfAKilledProcessIsFreeAndAWaitingOneGetsIt) {
  const ScratchFolder folder;
  Holder holder(folder / "lock");
  FileLock lock(folder / "lock");
  int waits = 0;
  EXPECT_EQ(lock.acquire([&](const std::string& text) {
    EXPECT_THAT(text, HasSubstr(std::to_string(holder.id())));
    ++waits;
    holder.kill();
  }),
            LockState::kHeld);
  EXPECT_EQ(waits, 1);
}

TEST(FileLock, StopsWaitingIfAsked) {
  const ScratchFolder folder;
  Holder holder(folder / "lock");
  FileLock lock(folder / "lock");
  std::atomic<bool> stop = false;
  EXPECT_EQ(lock.acquire([&](const std::string&) { stop = true; }, &stop), LockState::kOfOther);
}

TEST(FileLock, IsReportedMissingOnAFileSystemWithoutLocks) {
  const ScratchFolder folder;
  FailingFileSystem without;
  without.refuse_locks();
  FileLock lock(folder / "lock", without);
  EXPECT_EQ(lock.acquire(), LockState::kNoLocks);
  EXPECT_THAT(lock.warning(), HasSubstr(folder.path().string() + ": this file system has no locks"));
}

TEST(FileLock, WithAnyCallFailingItIsHeldOrAnErrorNamesIt) {
  const ScratchFolder folder;
  const auto lock_once = [&](FileSystem& file_system) {
    FileLock lock(folder / "lock", file_system);
    check(lock.try_acquire() == LockState::kHeld, "expected {} to be held", (folder / "lock").string());
    FileLock second(folder / "lock");
    check(second.try_acquire() == LockState::kOfOther, "expected {} to be locked", (folder / "lock").string());
  };
  const int calls = count_calls(lock_once);
  ASSERT_GE(calls, 4);
  for (const Fault fault : {Fault::kNoSpace, Fault::kIoError, Fault::kShortWrite, Fault::kInterrupted}) {
    for (int at = 1; at <= calls; ++at) {
      const Outcome outcome = run_with_fault(fault, at, lock_once);
      const bool must_fail = (fault == Fault::kIoError || fault == Fault::kNoSpace) && at <= 2;  // open and flock
      EXPECT_EQ(outcome.kind, must_fail ? Outcome::kFailed : Outcome::kSucceeded) << name_of(fault) << " at " << at;
      if (must_fail) {
        EXPECT_THAT(outcome.message, HasSubstr((folder / "lock").string()));
      }
    }
  }
  EXPECT_THAT(error_of([&] { FileLock(folder / "missing" / "lock"); }), HasSubstr("No such file or directory"));
}

}  // namespace
}  // namespace gradamp
