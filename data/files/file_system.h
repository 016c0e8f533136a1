// SPDX-License-Identifier: MIT
// The few calls to the operating system that save a file, behind an interface, so that a test can make each of them
// fail: a full disk, an I/O error, a short write, a kill.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace gradamp {

/// Every call behaves like the POSIX call of its name: at least 0 for success, -1 and `errno` for failure. Only in a
/// test may a call throw, which simulates a kill of the program at this point.
class FileSystem {
 public:
  virtual ~FileSystem() = default;

  /// Returns a descriptor for `path`, which may be a folder; `flags` are those of open(2), and a new file gets mode
  /// 0666 less umask.
  virtual int open(const std::string& path, int flags) = 0;
  /// Returns the number of bytes written, which may be less than `size`.
  virtual std::int64_t write(int descriptor, const std::byte* bytes, std::size_t size) = 0;
  /// Returns the number of bytes read from `offset` on, which may be less than `size`; 0 at the end.
  virtual std::int64_t pread(int descriptor, std::byte* bytes, std::size_t size, std::int64_t offset) = 0;
  /// The file's length in bytes.
  virtual std::int64_t size(int descriptor) = 0;
  virtual int ftruncate(int descriptor, std::int64_t size) = 0;
  virtual int fsync(int descriptor) = 0;
  virtual int close(int descriptor) = 0;
  virtual int rename(const std::string& from, const std::string& to) = 0;
  virtual int link(const std::string& from, const std::string& to) = 0;
  virtual int unlink(const std::string& path) = 0;
};

/// The operating system's calls; it has no state.
FileSystem& real_file_system();

}  // namespace gradamp
