// SPDX-License-Identifier: MIT
#include "gradamp/data/files/durable_file.h"

#include <fcntl.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <optional>
#include <string>
#include <system_error>

#include "gradamp/core/error.h"
#include "gradamp/data/files/open_file.h"

namespace gradamp {
namespace {

namespace fs = std::filesystem;

fs::path with_suffix(const fs::path& path, const char* suffix) {
  fs::path longer = path;
  longer += suffix;
  return longer;
}

// Syncs the folder of `path`, so that the names in it survive a power failure.
bool sync_folder_of(const fs::path& path, FileSystem& file_system) {
  const fs::path folder = path.has_parent_path() ? path.parent_path() : fs::path(".");
  OpenFile file(file_system, folder, O_RDONLY | O_DIRECTORY);
  // EINVAL: some network file systems cannot sync a folder and do not need it.
  return file.is_open() && (file.sync() || errno == EINVAL) && file.close();
}

// One save: the steps of write_durably(), in order.
class Save {
 public:
  Save(const fs::path& path, FileSystem& file_system)
      : path_(path),
        temporary_(with_suffix(path, ".tmp")),
        previous_(previous_of(path)),
        previous_temporary_(with_suffix(previous_, ".tmp")),
        file_system_(file_system) {}
  // Removes temporary files, which only a failed save leaves.
  ~Save() {
    if (temporary_exists_) file_system_.unlink(temporary_.string());
    if (previous_temporary_exists_) file_system_.unlink(previous_temporary_.string());
  }
  Save(const Save&) = delete;
  Save& operator=(const Save&) = delete;

  void write(std::span<const std::span<const std::byte>> parts) {
    remove_leftover(temporary_);
    OpenFile file(file_system_, temporary_, O_WRONLY | O_CREAT | O_EXCL);
    require(file.is_open(), "creating", temporary_);
    temporary_exists_ = true;
    for (std::span<const std::byte> part : parts) require(file.write(part), "writing", temporary_);
    require(file.sync(), "syncing", temporary_);
    require(file.close(), "closing", temporary_);
  }

  // Gives the old file a second name, then renames that over the previous file: `path` itself is never missing.
  void keep_previous() {
    remove_leftover(previous_temporary_);
    if (file_system_.link(path_.string(), previous_temporary_.string()) != 0) {
      if (errno == ENOENT) return;  // there is no old file
      const bool has_no_links = errno == EPERM || errno == EOPNOTSUPP || errno == ENOSYS;
      require(has_no_links, "keeping the old file as", previous_temporary_);
      require(file_system_.rename(path_.string(), previous_.string()) == 0, "moving the old file to", previous_);
      moved_ = true;
      return;
    }
    previous_temporary_exists_ = true;
    require(file_system_.rename(previous_temporary_.string(), previous_.string()) == 0, "renaming to", previous_);
    // rename(2) does nothing if both names are the same file, which they are after a kill just before replace().
    remove_leftover(previous_temporary_);
    previous_temporary_exists_ = false;
  }

  void replace() {
    if (file_system_.rename(temporary_.string(), path_.string()) != 0) {
      const int error = errno;
      if (moved_ && file_system_.rename(previous_.string(), path_.string()) == 0) moved_ = false;
      errno = error;
      require(false, "renaming to", path_);
    }
    temporary_exists_ = false;
    replaced_ = true;
    require(sync_folder_of(path_, file_system_), "syncing the folder of", path_);
  }

 private:
  void remove_leftover(const fs::path& leftover) {
    require(file_system_.unlink(leftover.string()) == 0 || errno == ENOENT, "removing", leftover);
  }

  void require(bool succeeded, const char* step, const fs::path& subject) {
    if (succeeded) return;
    const std::string reason = last_cause();
    fail("cannot save {}: {} {} failed: {}; {}", path_.string(), step, subject.string(), reason, what_holds());
  }

  std::string what_holds() const {
    if (replaced_) return "the new file is in place and whole, but may not survive a power failure";
    if (moved_) return fmt::format("the old file is untouched, at {}", previous_.string());
    std::error_code ignored;
    return fs::exists(path_, ignored) ? "the old file is untouched" : "there was no file before, and there is none now";
  }

  const fs::path path_, temporary_, previous_, previous_temporary_;
  FileSystem& file_system_;
  bool temporary_exists_ = false;
  bool previous_temporary_exists_ = false;
  bool moved_ = false;     // the old file is at previous_ only
  bool replaced_ = false;  // the new file is at path_
};

// The length of `file` up to and including its last newline, without a torn last line; -1 for an error.
std::int64_t length_of_whole_lines(OpenFile& file, std::int64_t size) {
  std::array<std::byte, 4096> block{};
  for (std::int64_t end = size; end > 0;) {
    const auto length = std::min<std::int64_t>(end, block.size());
    const std::span<std::byte> part(block.data(), static_cast<std::size_t>(length));
    if (file.read(part, end - length) != length) return -1;
    const auto newline = std::find(part.rbegin(), part.rend(), std::byte{'\n'});
    if (newline != part.rend()) return end - (newline - part.rbegin());
    end -= length;
  }
  return 0;
}

}  // namespace

fs::path previous_of(const fs::path& path) { return with_suffix(path, ".previous"); }

void write_durably(const fs::path& path, std::span<const std::span<const std::byte>> parts, Keep keep,
                   FileSystem& file_system) {
  Save save(path, file_system);
  save.write(parts);
  if (keep == Keep::kPrevious) save.keep_previous();
  save.replace();
}

void append_line(const fs::path& path, std::string_view line, FileSystem& file_system) {
  check(line.find('\n') == std::string_view::npos, "cannot append to {}: the line holds a newline", path.string());
  const auto require = [&](bool succeeded, const char* step) {
    if (!succeeded) fail("cannot append to {}: {} failed: {}", path.string(), step, last_cause());
  };
  OpenFile file(file_system, path, O_RDWR | O_CREAT | O_APPEND);
  require(file.is_open(), "opening it");
  const std::optional<FileStatus> status = file.status();
  require(status.has_value(), "asking for its size");
  const std::int64_t size = status->size;
  const std::int64_t whole = length_of_whole_lines(file, size);
  require(whole >= 0, "reading its last line");
  if (whole < size) require(file.truncate(whole), "cutting off the torn last line");

  std::string text(line);
  text += '\n';
  if (!file.write(std::as_bytes(std::span(text)))) {
    const int error = errno;
    file.truncate(whole);
    errno = error;
    require(false, "writing");
  }
  require(file.sync(), "syncing it");
  require(file.close(), "closing it");
  if (size == 0) require(sync_folder_of(path, file_system), "syncing its folder");
}

std::vector<std::byte> read_whole_file(const fs::path& path, FileSystem& file_system) {
  const auto require = [&](bool succeeded) { check(succeeded, "cannot read {}: {}", path.string(), last_cause()); };
  OpenFile file(file_system, path, O_RDONLY);
  require(file.is_open());
  const std::optional<FileStatus> status = file.status();
  require(status.has_value());
  const std::int64_t size = status->size;
  std::vector<std::byte> bytes(static_cast<std::size_t>(size));
  const std::int64_t got = file.read(bytes, 0);
  require(got >= 0);
  check(got == size, "cannot read {}: it shrank from {} to {} bytes meanwhile", path.string(), size, got);
  require(file.close());
  return bytes;
}

}  // namespace gradamp
