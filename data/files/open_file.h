// SPDX-License-Identifier: MIT
// An open file of a FileSystem. Calls that a signal interrupts are repeated, so that a save continues during SIGTERM.
#pragma once

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>

#include "gradamp/data/files/file_system.h"

namespace gradamp {

/// Repeats a call that a signal interrupts.
template <typename Call>
auto uninterrupted(Call call) {
  auto result = call();
  while (result < 0 && errno == EINTR) result = call();
  return result;
}

/// The text of `errno`.
std::string last_cause();

/// Whether `error` says that there is nothing at a path. Every other error says that this is not known.
constexpr bool means_missing(int error) { return error == ENOENT || error == ENOTDIR; }

/// Each function returns whether it succeeded; if not, `errno` has the cause. The destructor closes the file after a
/// failure; otherwise the caller closes it and checks the result.
class OpenFile {
 public:
  /// `flags` are those of open(2). O_CLOEXEC is added. If too many files are open, tries again after a moment.
  OpenFile(FileSystem& file_system, const std::filesystem::path& path, int flags);
  ~OpenFile();
  OpenFile(OpenFile&& other) noexcept;
  OpenFile(const OpenFile&) = delete;
  OpenFile& operator=(const OpenFile&) = delete;

  bool is_open() const { return descriptor_ >= 0; }
  bool write(std::span<const std::byte> bytes);
  /// Returns the number of bytes read, less than requested only at the end of the file; -1 for an error.
  std::int64_t read(std::span<std::byte> bytes, std::int64_t offset);
  /// The same from the current position on, which it moves.
  std::int64_t read_next(std::span<std::byte> bytes);
  std::optional<FileStatus> status();
  bool set_permissions(unsigned int permissions);
  bool truncate(std::int64_t size);
  bool sync();
  /// `operation` is that of flock(2).
  bool lock(int operation);
  bool close();

 private:
  template <typename Read>
  std::int64_t read_whole(std::span<std::byte> bytes, Read read);

  FileSystem* file_system_;
  int descriptor_;
};

}  // namespace gradamp
