// SPDX-License-Identifier: MIT
// Files that are complete or absent, whatever interrupts the write.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "gradamp/data/files/file_system.h"
#include "gradamp/data/files/open_file.h"

namespace gradamp {

/// What happens to the file that a save replaces: it is deleted, or stays available as previous_of(path).
enum class Keep { kNothing, kPrevious };

/// `<path>.previous`, the name under which Keep::kPrevious keeps the replaced file.
std::filesystem::path previous_of(const std::filesystem::path& path);

/// Makes `path` a file that consists of `parts`, in order. A reader of `path` finds the complete old or the complete
/// new file at any time, also after a kill or a power failure in the middle. The new file has the old one's
/// permissions. On a file system without hard links, Keep::kPrevious copies the old file.
///
/// Throws Error with the path, the failed call, its cause, and the resulting state. A folder, link, pipe, socket or
/// device is never replaced: also an Error. A failure before the new file is in place leaves the old one untouched and
/// no temporary file. After a later failure, only the new file's survival of a power failure is uncertain. A kill can
/// leave `<path>.gradamp-tmp` and `<path>.previous.gradamp-tmp`, which the next save removes. Only one writer per path
/// at a time.
///
/// If `path` was damaged and the work continued from the previous file, save once with Keep::kNothing: this replaces
/// the damaged file and keeps the good previous one.
void write_durably(const std::filesystem::path& path, std::span<const std::span<const std::byte>> parts, Keep keep,
                   FileSystem& file_system = real_file_system());

/// Removes a file that write_durably() has made, and the temporary file that a kill can have left of it. There need be
/// neither; what Keep::kPrevious has kept stays. Error with the path and the cause if one cannot be removed.
void remove_durable(const std::filesystem::path& path, FileSystem& file_system = real_file_system());

/// Error unless `path` is a regular file or missing: whether write_durably() would replace it. For a check before the
/// work whose result will be written.
void check_replaceable(const std::filesystem::path& path, FileSystem& file_system = real_file_system());

/// Appends each line, which has no newline, and a newline, all in one write, and syncs them. Creates the file if there
/// is none. Text after the last newline is a line torn by a crash: it is cut off first. Throws Error with the path and
/// the cause; the file's content is then unchanged. Only one writer per path at a time.
void append_lines(const std::filesystem::path& path, std::span<const std::string> lines,
                  FileSystem& file_system = real_file_system());
void append_line(const std::filesystem::path& path, const std::string& line,
                 FileSystem& file_system = real_file_system());

/// A regular file that is read in pieces, so that its beginning can be checked before memory for the rest is needed.
/// Error with the path and the cause if a call fails or the file is a folder, pipe, socket or device. Opening a named
/// pipe does not wait.
class FileReader {
 public:
  explicit FileReader(const std::filesystem::path& path, FileSystem& file_system = real_file_system());
  /// Nothing if there is no such file. Every other failure is an Error.
  static std::optional<FileReader> if_exists(const std::filesystem::path& path, FileSystem& file_system);

  std::int64_t size() const { return size_; }
  /// Fills `bytes` from `offset` on. Error if the file is shorter.
  void read(std::span<std::byte> bytes, std::int64_t offset);
  /// Error if the file has more bytes.
  void check_size(std::int64_t max_bytes) const;
  std::vector<std::byte> read_all();
  /// The last bytes, at most `max_bytes`, of a file that can be of any size.
  std::string read_end(std::int64_t max_bytes);
  void close();

 private:
  FileReader(const std::filesystem::path& path, OpenFile file);
  void require(bool succeeded) const;

  std::filesystem::path path_;
  OpenFile file_;
  std::int64_t size_ = 0;
};

/// The file's bytes. Throws Error as FileReader does.
std::vector<std::byte> read_whole_file(const std::filesystem::path& path, FileSystem& file_system = real_file_system());
/// The file's bytes, or nothing if there is no such file. A failure to read is an Error, never "no such file".
std::optional<std::vector<std::byte>> read_if_exists(const std::filesystem::path& path,
                                                     FileSystem& file_system = real_file_system());
/// Whether there is a file, folder or link of this name. A failure to find out is an Error.
bool file_exists(const std::filesystem::path& path, FileSystem& file_system = real_file_system());
/// The text of a file that the user names: a regular file, or a pipe or device that can be read to its end, such as
/// that of a shell's <(command), which is a link to a pipe. Error with the path and the cause if it cannot be read, has
/// more than `max_bytes`, or is a folder or a named pipe, on which opening it would wait.
std::string read_text(const std::filesystem::path& path, std::int64_t max_bytes,
                      FileSystem& file_system = real_file_system());
/// The sorted names of the folder's entries; none if there is no such folder. Another failure is an Error.
std::vector<std::string> names_in(const std::filesystem::path& folder, FileSystem& file_system = real_file_system());

}  // namespace gradamp
