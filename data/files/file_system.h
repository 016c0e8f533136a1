// SPDX-License-Identifier: MIT
// The few calls to the operating system that read and save files, behind an interface, so that a test can make each of
// them fail: a full disk, an I/O error, a short write, a kill.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace gradamp {

enum class FileKind { kRegular, kFolder, kLink, kPipe, kSocket, kDevice };

/// "a regular file", "a folder", "a symbolic link", "a named pipe", "a socket", "a device".
const char* name_of(FileKind kind);

struct FileStatus {
  FileKind kind = FileKind::kRegular;
  std::int64_t size = 0;         // in bytes
  unsigned int permissions = 0;  // the mode's lower 12 bits
};

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
  /// Like pread() from the current position on, which it moves. Pipes can be read only so.
  virtual std::int64_t read(int descriptor, std::byte* bytes, std::size_t size) = 0;
  virtual int fstat(int descriptor, FileStatus& status) = 0;
  /// If `path` is a link, the status is that of the link itself.
  virtual int lstat(const std::string& path, FileStatus& status) = 0;
  virtual int fchmod(int descriptor, unsigned int permissions) = 0;
  virtual int ftruncate(int descriptor, std::int64_t size) = 0;
  virtual int fsync(int descriptor) = 0;
  /// `operation` is that of flock(2).
  virtual int flock(int descriptor, int operation) = 0;
  virtual int close(int descriptor) = 0;
  virtual int rename(const std::string& from, const std::string& to) = 0;
  virtual int link(const std::string& from, const std::string& to) = 0;
  virtual int unlink(const std::string& path) = 0;
  /// Sets `names` to the names of the entries of a folder, sorted, without "." and "..".
  virtual int list(const std::string& folder, std::vector<std::string>& names) = 0;
};

/// The operating system's calls; it has no state.
FileSystem& real_file_system();

}  // namespace gradamp
