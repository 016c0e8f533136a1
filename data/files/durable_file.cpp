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

// The suffix of temporary files. Only a save makes them, and the next save removes them.
constexpr const char* kTemporarySuffix = ".gradamp-tmp";

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

// The status of `path`, or nothing if there is no such file. Other failures are in `errno` and make `known` false.
std::optional<FileStatus> status_of(const fs::path& path, FileSystem& file_system, bool& known) {
  FileStatus status;
  known = true;
  if (file_system.lstat(path.string(), status) == 0) return status;
  known = means_missing(errno);
  return std::nullopt;
}

// One save: the steps of write_durably(), in order.
class Save {
 public:
  Save(const fs::path& path, FileSystem& file_system)
      : path_(path),
        temporary_(with_suffix(path, kTemporarySuffix)),
        previous_(previous_of(path)),
        previous_temporary_(with_suffix(previous_, kTemporarySuffix)),
        file_system_(file_system),
        old_(status_if_replaceable(path)) {
    looked_ = true;
  }
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
    keep_permissions(file, temporary_);
    for (std::span<const std::byte> part : parts) require(file.write(part), "writing", temporary_);
    require(file.sync(), "syncing", temporary_);
    require(file.close(), "closing", temporary_);
  }

  // Gives the old file a second name, then renames that over the previous file: `path` itself is never missing. On a
  // file system without hard links the second name is a copy.
  void keep_previous() {
    if (!old_) return;
    status_if_replaceable(previous_);
    remove_leftover(previous_temporary_);
    if (file_system_.link(path_.string(), previous_temporary_.string()) == 0) {
      previous_temporary_exists_ = true;
    } else {
      const bool has_no_links = errno == EPERM || errno == EOPNOTSUPP || errno == ENOSYS || errno == EMLINK;
      require(has_no_links, "keeping the old file as", previous_temporary_);
      copy_old_file();
    }
    require(file_system_.rename(previous_temporary_.string(), previous_.string()) == 0, "renaming to", previous_);
    // rename(2) does nothing if both names are the same file, which they are after a kill just before replace().
    remove_leftover(previous_temporary_);
    previous_temporary_exists_ = false;
  }

  void replace() {
    require(file_system_.rename(temporary_.string(), path_.string()) == 0, "renaming to", path_);
    temporary_exists_ = false;
    replaced_ = true;
    require(sync_folder_of(path_, file_system_), "syncing the folder of", path_);
  }

 private:
  // The status of a file that a rename may replace, or nothing if there is none.
  std::optional<FileStatus> status_if_replaceable(const fs::path& path) {
    bool known = true;
    const std::optional<FileStatus> status = status_of(path, file_system_, known);
    require(known, "looking at", path);
    if (status && status->kind != FileKind::kRegular)
      fail("cannot save {}: {} is {}, which is never replaced; give the name of a regular file or a new name",
           path_.string(), path == path_ ? "it" : path.string(), name_of(status->kind));
    return status;
  }

  // A file system without permissions refuses to change them.
  void keep_permissions(OpenFile& file, const fs::path& path) {
    if (!old_) return;
    const std::optional<FileStatus> status = file.status();
    require(status.has_value(), "looking at", path);
    const bool kept = status->permissions == old_->permissions || file.set_permissions(old_->permissions);
    require(kept || errno == EPERM || errno == EOPNOTSUPP || errno == ENOSYS, "setting the permissions of", path);
  }

  void copy_old_file() {
    OpenFile from(file_system_, path_, O_RDONLY | O_NONBLOCK);
    require(from.is_open(), "opening", path_);
    OpenFile to(file_system_, previous_temporary_, O_WRONLY | O_CREAT | O_EXCL);
    require(to.is_open(), "creating", previous_temporary_);
    previous_temporary_exists_ = true;
    keep_permissions(to, previous_temporary_);
    std::vector<std::byte> block(kCopyBlock);
    for (std::int64_t offset = 0;;) {
      const std::int64_t got = from.read(block, offset);
      require(got >= 0, "reading", path_);
      if (got == 0) break;
      const auto part = std::span(block).first(static_cast<std::size_t>(got));
      require(to.write(part), "writing", previous_temporary_);
      offset += got;
    }
    require(to.sync(), "syncing", previous_temporary_);
    require(to.close(), "closing", previous_temporary_);
    require(from.close(), "closing", path_);
  }

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
    if (!looked_) return "nothing was changed";
    return old_ ? "the old file is untouched" : "there was no file before, and there is none now";
  }

  static constexpr std::size_t kCopyBlock = std::size_t{1} << 20;

  const fs::path path_, temporary_, previous_, previous_temporary_;
  FileSystem& file_system_;
  bool looked_ = false;  // old_ is known
  bool temporary_exists_ = false;
  bool previous_temporary_exists_ = false;
  bool replaced_ = false;  // the new file is at path_
  std::optional<FileStatus> old_;
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

void append_lines(const fs::path& path, std::span<const std::string> lines, FileSystem& file_system) {
  std::string text;
  for (const std::string& line : lines) {
    check(line.find('\n') == std::string::npos, "cannot append to {}: the line holds a newline", path.string());
    text += line + '\n';
  }
  const auto require = [&](bool succeeded, const char* step) {
    if (!succeeded) fail("cannot append to {}: {} failed: {}", path.string(), step, last_cause());
  };
  OpenFile file(file_system, path, O_RDWR | O_CREAT | O_APPEND | O_NONBLOCK);
  require(file.is_open(), "opening it");
  const std::optional<FileStatus> status = file.status();
  require(status.has_value(), "asking for its size");
  check(status->kind == FileKind::kRegular, "cannot append to {}: it is {}; expected a regular file", path.string(),
        name_of(status->kind));
  const std::int64_t size = status->size;
  const std::int64_t whole = length_of_whole_lines(file, size);
  require(whole >= 0, "reading its last line");
  if (whole < size) require(file.truncate(whole), "cutting off the torn last line");

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

void append_line(const fs::path& path, const std::string& line, FileSystem& file_system) {
  append_lines(path, std::span(&line, 1), file_system);
}

FileReader::FileReader(const fs::path& path, FileSystem& file_system)
    : FileReader(path, OpenFile(file_system, path, O_RDONLY | O_NONBLOCK)) {}

FileReader::FileReader(const fs::path& path, OpenFile file) : path_(path), file_(std::move(file)) {
  require(file_.is_open());
  const std::optional<FileStatus> status = file_.status();
  require(status.has_value());
  check(status->kind == FileKind::kRegular, "cannot read {}: it is {}; expected a regular file", path.string(),
        name_of(status->kind));
  size_ = status->size;
}

std::optional<FileReader> FileReader::if_exists(const fs::path& path, FileSystem& file_system) {
  OpenFile file(file_system, path, O_RDONLY | O_NONBLOCK);
  if (!file.is_open() && means_missing(errno)) return std::nullopt;
  return FileReader(path, std::move(file));
}

void FileReader::read(std::span<std::byte> bytes, std::int64_t offset) {
  const std::int64_t got = file_.read(bytes, offset);
  require(got >= 0);
  check(got == static_cast<std::int64_t>(bytes.size()), "cannot read {}: it shrank from {} to {} bytes meanwhile",
        path_.string(), size_, offset + got);
}

void FileReader::check_size(std::int64_t max_bytes) const {
  check(size_ <= max_bytes, "{}: it has {} bytes, expected at most {}; the file is damaged or of another kind",
        path_.string(), size_, max_bytes);
}

std::vector<std::byte> FileReader::read_all() {
  std::vector<std::byte> bytes(static_cast<std::size_t>(size_));
  read(bytes, 0);
  close();
  return bytes;
}

std::string FileReader::read_end(std::int64_t max_bytes) {
  const std::int64_t count = std::min(size_, max_bytes);
  std::string text(static_cast<std::size_t>(count), '\0');
  read(std::as_writable_bytes(std::span(text)), size_ - count);
  close();
  return text;
}

void FileReader::close() { require(file_.close()); }

void FileReader::require(bool succeeded) const { check(succeeded, "cannot read {}: {}", path_.string(), last_cause()); }

std::vector<std::byte> read_whole_file(const fs::path& path, FileSystem& file_system) {
  return FileReader(path, file_system).read_all();
}

std::optional<std::vector<std::byte>> read_if_exists(const fs::path& path, FileSystem& file_system) {
  std::optional<FileReader> file = FileReader::if_exists(path, file_system);
  return file ? std::optional(file->read_all()) : std::nullopt;
}

bool file_exists(const fs::path& path, FileSystem& file_system) {
  bool known = true;
  const bool exists = status_of(path, file_system, known).has_value();
  check(known, "cannot look at {}: {}", path.string(), last_cause());
  return exists;
}

std::vector<std::string> names_in(const fs::path& folder, FileSystem& file_system) {
  std::vector<std::string> names;
  const bool listed = file_system.list(folder.string(), names) == 0;
  check(listed || means_missing(errno), "cannot read the folder {}: {}", folder.string(), last_cause());
  return listed ? names : std::vector<std::string>();
}

std::string read_text(const fs::path& path, std::int64_t max_bytes, FileSystem& file_system) {
  const auto require = [&](bool succeeded) { check(succeeded, "cannot read {}: {}", path.string(), last_cause()); };
  const auto refuse = [&](const FileStatus& status, FileKind kind) {
    check(status.kind != kind, "cannot read {}: it is {}; expected a regular file", path.string(), name_of(kind));
  };
  FileStatus link;  // opening a named pipe would wait; that of a shell's <(command) is behind a link
  require(file_system.lstat(path.string(), link) == 0);
  refuse(link, FileKind::kPipe);
  OpenFile file(file_system, path, O_RDONLY | O_NOCTTY);
  require(file.is_open());
  const std::optional<FileStatus> status = file.status();
  require(status.has_value());
  refuse(*status, FileKind::kFolder);
  std::string text;
  std::vector<std::byte> block(std::size_t{1} << 16);
  for (std::int64_t got = 1; got > 0;) {
    got = file.read_next(block);
    require(got >= 0);
    text.append(reinterpret_cast<const char*>(block.data()), static_cast<std::size_t>(got));
    check(static_cast<std::int64_t>(text.size()) <= max_bytes,
          "cannot read {}: it has more than {} bytes, which no file of this kind has", path.string(), max_bytes);
  }
  require(file.close());
  return text;
}

void remove_durable(const std::filesystem::path& path, FileSystem& file_system) {
  for (const fs::path& name : {path, with_suffix(path, kTemporarySuffix)}) {
    const bool removed = file_system.unlink(name.string()) == 0 || means_missing(errno);
    check(removed, "cannot remove {}: {}", name.string(), last_cause());
  }
}

void check_replaceable(const fs::path& path, FileSystem& file_system) { const Save save(path, file_system); }

}  // namespace gradamp
