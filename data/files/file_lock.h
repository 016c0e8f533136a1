// SPDX-License-Identifier: MIT
// A lock that at most one process holds. The operating system releases it when the process ends, however it ends.
#pragma once

#include <atomic>
#include <filesystem>
#include <functional>
#include <string>

#include "gradamp/data/files/file_system.h"
#include "gradamp/data/files/open_file.h"

namespace gradamp {

enum class LockState {
  kHeld,     // by this object
  kOfOther,  // another process, or another FileLock of this process, holds it
  kNoLocks,  // the file system has no locks (some network file systems): nothing is locked
};

/// Whether flock(2) failed with `error` because the file system has no locks.
bool means_no_locks(int error);

/// A lock (flock(2)) on a file that has no other purpose. The file stays in its folder and has one line about the
/// process that holds the lock or held it last. The destructor releases the lock. A child process that calls exec does
/// not inherit it.
///
/// Error with the path and the cause if a call fails for another reason than a missing support of locks.
class FileLock {
 public:
  /// Opens `path`, and creates it if it is missing. Locks nothing yet.
  explicit FileLock(std::filesystem::path path, FileSystem& file_system = real_file_system());

  /// Locks the file if no other process holds the lock. Does not wait.
  LockState try_acquire();
  /// Locks the file. If another process holds the lock, calls `on_wait` once with holder() and waits, at most until
  /// `stop` is true; only then is kOfOther returned.
  LockState acquire(const std::function<void(const std::string& holder)>& on_wait = nullptr,
                    const std::atomic<bool>* stop = nullptr);

  /// The process that holds the lock, for a message: "process 4711 on node7, since 2026-01-31 17:40:12 UTC", or
  /// "another process" if that is not known.
  std::string holder();
  /// A sentence for the user after kNoLocks: "FOLDER: this file system has no locks; ..."
  std::string warning() const;

 private:
  std::filesystem::path path_;
  OpenFile file_;
};

/// Whether a process holds the lock on `path`. Creates no file; false if there is none, or the file system has no
/// locks. For the moment of the question, a FileLock elsewhere may find the file locked. Error if a call fails
/// otherwise.
bool is_locked(const std::filesystem::path& path, FileSystem& file_system = real_file_system());

}  // namespace gradamp
