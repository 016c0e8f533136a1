// SPDX-License-Identifier: MIT
// A file system whose n-th call fails, and a function that runs a save on it once.
#pragma once

#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

#include "gradamp/core/error.h"
#include "gradamp/data/files/file_system.h"

namespace gradamp {

/// What happens at the chosen call. Faults that concern only some calls do not affect the others.
enum class Fault {
  kNone,
  kNoSpace,         // the call fails with ENOSPC
  kIoError,         // the call fails with EIO
  kTooManyOpen,     // an open fails with EMFILE
  kBroken,          // this and every later call fail with EIO, so no cleanup is possible
  kShortWrite,      // a write writes half of its bytes, the next one fails with ENOSPC
  kInterrupted,     // a call that a signal can interrupt fails with EINTR
  kKilled,          // throws Killed; neither this nor any later call is executed
  kKilledMidWrite,  // the same after half of a write
  kExit,            // the process exits instead
  kExitMidWrite,    // the process exits after half of a write
};

inline constexpr Fault kAllFaults[] = {Fault::kNoSpace,     Fault::kIoError, Fault::kBroken,
                                       Fault::kShortWrite,  Fault::kKilled,  Fault::kKilledMidWrite,
                                       Fault::kInterrupted, Fault::kExit,    Fault::kExitMidWrite};

/// Not a std::exception, so that no handler for those catches it.
struct Killed {};

class FailingFileSystem : public FileSystem {
 public:
  static constexpr int kExitCode = 86;

  /// Injects `fault` at call number `at`, counted from 1.
  explicit FailingFileSystem(Fault fault = Fault::kNone, int at = 0) : fault_(fault), at_(at) {}

  /// From now on link() fails with EPERM, as on a file system without hard links.
  void refuse_links() { links_refused_ = true; }
  /// From now on flock() fails with ENOLCK, as on a file system without locks.
  void refuse_locks() { locks_refused_ = true; }
  /// The number of calls so far.
  int calls() const { return calls_; }
  /// The executed calls, such as "write model.tmp" or "rename model.tmp model".
  const std::vector<std::string>& done() const { return done_; }

  int open(const std::string& path, int flags) override {
    const bool too_many = next_is_chosen() && fault_ == Fault::kTooManyOpen;
    if (!enter(true)) return -1;
    if (too_many) return fail_with(EMFILE);
    const int descriptor = real_.open(path, flags);
    if (descriptor < 0) return -1;
    names_[descriptor] = short_name(path);
    return note("open", names_[descriptor], descriptor);
  }
  std::int64_t write(int descriptor, const std::byte* bytes, std::size_t size) override {
    if (full_) return fail_with(ENOSPC);
    const bool is_half = next_is_chosen() && (fault_ == Fault::kShortWrite || fault_ == Fault::kKilledMidWrite ||
                                              fault_ == Fault::kExitMidWrite);
    if (!enter(true)) return -1;
    const std::int64_t written = real_.write(descriptor, bytes, is_half ? size / 2 : size);
    if (is_half) {
      if (fault_ == Fault::kExitMidWrite) ::_exit(kExitCode);
      if (fault_ == Fault::kKilledMidWrite) die();
      full_ = true;
    }
    return note("write", names_[descriptor], written);
  }
  std::int64_t pread(int descriptor, std::byte* bytes, std::size_t size, std::int64_t offset) override {
    return enter(true) ? note("pread", names_[descriptor], real_.pread(descriptor, bytes, size, offset)) : -1;
  }
  std::int64_t read(int descriptor, std::byte* bytes, std::size_t size) override {
    return enter(true) ? note("read", names_[descriptor], real_.read(descriptor, bytes, size)) : -1;
  }
  int fstat(int descriptor, FileStatus& status) override {
    return enter(false) ? note("fstat", names_[descriptor], real_.fstat(descriptor, status)) : -1;
  }
  int lstat(const std::string& path, FileStatus& status) override {
    return enter(false) ? note("lstat", short_name(path), real_.lstat(path, status)) : -1;
  }
  int fchmod(int descriptor, unsigned int permissions) override {
    return enter(true) ? note("fchmod", names_[descriptor], real_.fchmod(descriptor, permissions)) : -1;
  }
  int ftruncate(int descriptor, std::int64_t size) override {
    return enter(true) ? note("ftruncate", names_[descriptor], real_.ftruncate(descriptor, size)) : -1;
  }
  // Only recorded: a sync has no effect that a test can see, and thousands of them take minutes.
  int fsync(int descriptor) override { return enter(true) ? note("fsync", names_[descriptor], 0) : -1; }
  int flock(int descriptor, int operation) override {
    if (!enter(true)) return -1;
    if (locks_refused_) return fail_with(ENOLCK);
    return note("flock", names_[descriptor], real_.flock(descriptor, operation));
  }
  // A failed close also releases the descriptor, as on Linux.
  int close(int descriptor) override {
    const int result = real_.close(descriptor);
    return enter(true) ? note("close", names_[descriptor], result) : -1;
  }
  int rename(const std::string& from, const std::string& to) override {
    return enter(false) ? note("rename", short_name(from) + " " + short_name(to), real_.rename(from, to)) : -1;
  }
  int link(const std::string& from, const std::string& to) override {
    if (!enter(false)) return -1;
    if (links_refused_) return fail_with(EPERM);
    return note("link", short_name(from) + " " + short_name(to), real_.link(from, to));
  }
  int unlink(const std::string& path) override {
    return enter(false) ? note("unlink", short_name(path), real_.unlink(path)) : -1;
  }
  int list(const std::string& folder, std::vector<std::string>& names) override {
    return enter(false) ? note("list", short_name(folder), real_.list(folder, names)) : -1;
  }

 private:
  static int fail_with(int error) {
    errno = error;
    return -1;
  }
  static std::string short_name(const std::string& path) { return std::filesystem::path(path).filename().string(); }

  template <typename Result>
  Result note(const char* call, const std::string& subject, Result result) {
    if (result >= 0) done_.push_back(std::string(call) + " " + subject);
    return result;
  }

  [[noreturn]] void die() {
    dead_ = true;
    throw Killed{};
  }

  bool next_is_chosen() const { return !dead_ && calls_ + 1 == at_; }

  // Counts a call. False, with errno, if it must not be executed.
  bool enter(bool can_be_interrupted) {
    if (dead_) return fail_with(EIO) == 0;
    ++calls_;
    if (fault_ == Fault::kBroken && calls_ >= at_) {
      return fail_with(EIO) == 0;
    }
    if (calls_ != at_) return true;
    switch (fault_) {
      case Fault::kNoSpace: return fail_with(ENOSPC) == 0;
      case Fault::kIoError: return fail_with(EIO) == 0;
      case Fault::kInterrupted: return !can_be_interrupted || fail_with(EINTR) == 0;
      case Fault::kKilled: die();
      case Fault::kExit: ::_exit(kExitCode);
      default: return true;
    }
  }

  FileSystem& real_ = real_file_system();
  const Fault fault_;
  const int at_;
  int calls_ = 0;
  bool links_refused_ = false;
  bool locks_refused_ = false;
  bool dead_ = false;  // Killed was thrown
  bool full_ = false;  // the disk is full, after a short write
  std::map<int, std::string> names_;
  std::vector<std::string> done_;
};

/// The outcome of a save.
struct Outcome {
  enum Kind { kSucceeded, kFailed, kKilled };
  Kind kind = kSucceeded;
  std::string message;            // of the Error, if it failed
  std::vector<std::string> done;  // the executed calls, unless the process exited
};

/// Runs `save` on a failing file system; in a child process for the faults that exit.
inline Outcome run_with_fault(Fault fault, int at, const std::function<void(FailingFileSystem&)>& save) {
  FailingFileSystem file_system(fault, at);
  Outcome outcome;
  if (fault == Fault::kExit || fault == Fault::kExitMidWrite) {
    const pid_t child = ::fork();
    if (child < 0) throw std::runtime_error("cannot fork");
    if (child == 0) {
      try {
        save(file_system);
      } catch (...) {
        ::_exit(1);
      }
      ::_exit(0);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    if (!WIFEXITED(status) || (WEXITSTATUS(status) != 0 && WEXITSTATUS(status) != FailingFileSystem::kExitCode)) {
      throw std::runtime_error("the child process failed by itself");
    }
    outcome.kind = WEXITSTATUS(status) == 0 ? Outcome::kSucceeded : Outcome::kKilled;
    return outcome;
  }
  try {
    save(file_system);
  } catch (const Killed&) {
    outcome.kind = Outcome::kKilled;
  } catch (const Error& error) {
    outcome.kind = Outcome::kFailed;
    outcome.message = error.what();
  }
  outcome.done = file_system.done();
  return outcome;
}

/// The number of calls of `save` if nothing fails.
inline int count_calls(const std::function<void(FailingFileSystem&)>& save) {
  FailingFileSystem file_system;
  save(file_system);
  return file_system.calls();
}

/// For a test's messages.
inline const char* name_of(Fault fault) {
  switch (fault) {
    case Fault::kNone: return "none";
    case Fault::kNoSpace: return "no space";
    case Fault::kIoError: return "I/O error";
    case Fault::kTooManyOpen: return "too many open files";
    case Fault::kBroken: return "broken from here on";
    case Fault::kShortWrite: return "short write";
    case Fault::kInterrupted: return "interrupted";
    case Fault::kKilled: return "killed";
    case Fault::kKilledMidWrite: return "killed in a write";
    case Fault::kExit: return "exit";
    case Fault::kExitMidWrite: return "exit in a write";
  }
  return "?";
}

}  // namespace gradamp
