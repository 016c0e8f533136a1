// SPDX-License-Identifier: MIT
#include "gradamp/data/download/archive.h"

#include <archive.h>
#include <archive_entry.h>

#include <fcntl.h>
#include <locale.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <iterator>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <utility>

#include "gradamp/core/error.h"
#include "gradamp/data/download/decompressor.h"
#include "gradamp/data/files/durable_file.h"
#include "gradamp/data/files/open_file.h"

namespace gradamp {
namespace {

struct FreeArchive {
  void operator()(archive* handle) const { archive_read_free(handle); }
};
using ArchiveHandle = std::unique_ptr<archive, FreeArchive>;

/// Names of members are converted by the locale of the thread, and "C" has only ASCII. This is UTF-8 while it lives.
class Utf8Locale {
 public:
  Utf8Locale() : utf8_(newlocale(LC_CTYPE_MASK, "C.UTF-8", static_cast<locale_t>(nullptr))) {
    if (utf8_ != nullptr) before_ = uselocale(utf8_);
  }
  ~Utf8Locale() {
    if (utf8_ == nullptr) return;
    uselocale(before_);
    freelocale(utf8_);
  }
  Utf8Locale(const Utf8Locale&) = delete;
  Utf8Locale& operator=(const Utf8Locale&) = delete;

 private:
  locale_t utf8_, before_ = nullptr;
};

/// A file in which libarchive seeks.
class SeekableFile {
 public:
  SeekableFile(const std::filesystem::path& path, FileSystem& file_system) : file_(path, file_system) {}

  /// The next bytes, which are valid until the next call; empty at the end.
  std::span<const std::byte> next() {
    const std::int64_t count = std::clamp<std::int64_t>(file_.size() - position_, 0, std::ssize(buffer_));
    const auto piece = std::span(buffer_).first(static_cast<std::size_t>(count));
    file_.read(piece, position_);
    position_ += count;
    return piece;
  }
  /// Moves as lseek(2) does. Returns the new position, or -1 if it is before the beginning.
  std::int64_t seek(std::int64_t offset, int whence) {
    const std::int64_t position = offset + (whence == SEEK_SET ? 0 : whence == SEEK_CUR ? position_ : file_.size());
    if (position < 0) return -1;
    return position_ = position;
  }

 private:
  FileReader file_;
  std::int64_t position_ = 0;
  std::vector<std::byte> buffer_ = std::vector<std::byte>(std::size_t{1} << 16);
};

/// An archive that is read with libarchive. The content arrives through a Decompressor, which checks its checksums.
class OpenArchive {
 public:
  /// `max_stream` is the largest size of the decompressed content, unwanted members included.
  OpenArchive(const std::filesystem::path& path, std::int64_t max_stream, FileSystem& file_system)
      : path_(path), max_stream_(max_stream) {
    check(handle_ != nullptr, "libarchive could not be started: out of memory");
    const Packing packing = packing_of(path, file_system);
    if (packing == Packing::kZip) {
      zip_ = std::make_unique<SeekableFile>(path, file_system);
      archive_read_support_format_zip_seekable(handle_.get());  // reads the directory at the end
      archive_read_set_seek_callback(handle_.get(), &on_seek);
    } else {
      stream_ = open_decompressor(path, packing, file_system);
      archive_read_support_format_tar(handle_.get());
    }
    if (archive_read_open(handle_.get(), this, nullptr, &on_read, nullptr) != ARCHIVE_OK) fail_reading();
  }

  /// The next member, or null at the end.
  archive_entry* next() {
    archive_entry* entry = nullptr;
    const int status = archive_read_next_header(handle_.get(), &entry);
    if (status == ARCHIVE_EOF) {
      if (stream_ != nullptr) read_to_end();
      return nullptr;
    }
    // A warning says that a name or an owner could not be converted, which matters for wanted members only.
    if (status != ARCHIVE_OK && status != ARCHIVE_WARN) fail_reading();
    return entry;
  }

  /// The next bytes of the member.
  std::size_t read(std::span<char> bytes) {
    const la_ssize_t count = archive_read_data(handle_.get(), bytes.data(), bytes.size());
    if (count < 0) fail_reading();
    return static_cast<std::size_t>(count);
  }

 private:
  /// Exceptions must not pass through C.
  static la_ssize_t on_read(archive* handle, void* user, const void** bytes) {
    auto* self = static_cast<OpenArchive*>(user);
    try {
      const auto piece = self->zip_ ? self->zip_->next() : std::as_bytes(self->next_piece());
      *bytes = piece.data();
      return static_cast<la_ssize_t>(piece.size());
    } catch (const Error& error) {
      self->cause_ = error;
    }
    archive_set_error(handle, EIO, "the file cannot be read");
    return -1;
  }

  static la_int64_t on_seek(archive*, void* user, la_int64_t offset, int whence) {
    const std::int64_t position = static_cast<OpenArchive*>(user)->zip_->seek(offset, whence);
    return position < 0 ? ARCHIVE_FATAL : position;
  }

  std::span<const std::uint8_t> next_piece() {
    const auto piece = stream_->next();
    streamed_ += static_cast<std::int64_t>(piece.size());
    check(streamed_ <= max_stream_, "{}: unpacks to more than {} bytes, which no archive of this kind does",
          path_.string(), max_stream_);
    return piece;
  }

  /// The checksums are at the end of the file, behind the end of the tar archive.
  void read_to_end() {
    while (!next_piece().empty()) {
    }
  }

  [[noreturn]] void fail_reading() const {
    if (cause_) throw *cause_;
    const char* reason = archive_error_string(handle_.get());
    fail("{}: cannot be read as an archive (.tar, .tar.gz, .tar.bz2, .tar.xz, .tar.zst, .zip): {}", path_.string(),
         reason == nullptr ? "it is damaged" : reason);
  }

  std::filesystem::path path_;
  std::int64_t max_stream_, streamed_ = 0;
  std::unique_ptr<SeekableFile> zip_;     // of a zip archive
  std::unique_ptr<Decompressor> stream_;  // of every other
  std::optional<Error> cause_;
  ArchiveHandle handle_{archive_read_new()};
};

/// The path of a member without leading "./"; nothing if it has no name.
std::optional<std::string> path_of(archive_entry* entry) {
  const char* name = archive_entry_pathname(entry);
  if (name == nullptr) name = archive_entry_pathname_utf8(entry);
  if (name == nullptr || *name == '\0') return std::nullopt;
  return std::filesystem::path(name).lexically_normal().generic_string();
}

/// Error if the member's path leads out of the folder.
void check_inside(const std::filesystem::path& archive_path, const std::string& name) {
  const std::filesystem::path path(name);
  check(!path.is_absolute() && std::none_of(path.begin(), path.end(), [](const auto& part) { return part == ".."; }),
        "{}: holds the path '{}', which leads out of the folder it is unpacked into; nothing of it is used",
        archive_path.string(), name);
}

/// Calls `on_file` for every regular file that is wanted, which returns a sink for the file's content, in pieces.
using Sink = std::function<void(const void*, std::size_t)>;
void walk_archive(const std::filesystem::path& path, const MemberLimit& wanted, std::int64_t max_bytes,
                  FileSystem& file_system, const std::function<void(const std::string&)>& on_folder,
                  const std::function<Sink(const std::string&)>& on_file) {
  const Utf8Locale utf8;
  constexpr std::int64_t kMaxHeaderBytes = 1 << 24;
  OpenArchive archive(path, 2 * max_bytes + kMaxHeaderBytes, file_system);
  std::set<std::string> seen;
  std::vector<char> buffer(1 << 16);
  std::int64_t total = 0;
  bool any = false;
  while (archive_entry* entry = archive.next()) {
    any = true;
    const std::optional<std::string> name = path_of(entry);
    const std::optional<std::int64_t> limit = name ? wanted(*name) : std::nullopt;
    if (!limit) continue;
    check_inside(path, *name);
    const auto type = archive_entry_filetype(entry);
    check((type == AE_IFREG || type == AE_IFDIR) && archive_entry_hardlink(entry) == nullptr &&
              archive_entry_symlink(entry) == nullptr,
          "{}: holds '{}', which is a link or a device; only files and folders are expected, nothing of it is used",
          path.string(), *name);
    if (type == AE_IFDIR) {
      on_folder(*name);
      continue;
    }
    check(seen.insert(*name).second, "{}: holds '{}' twice; nothing of it is used", path.string(), *name);
    const std::int64_t size = archive_entry_size_is_set(entry) != 0 ? archive_entry_size(entry) : 0;
    const auto check_size = [&](std::int64_t bytes) {
      check(bytes <= *limit,
            "{}: its file {} has {} bytes, expected at most {}; the file is damaged or of another kind", path.string(),
            *name, bytes, *limit);
      check(bytes <= max_bytes - total, "{}: unpacks to more than {} bytes, which no archive of this kind does",
            path.string(), max_bytes);
    };
    check_size(size);
    const Sink sink = on_file(*name);
    std::int64_t done = 0;
    while (const std::size_t got = archive.read(buffer)) {
      done += static_cast<std::int64_t>(got);
      check_size(done);
      sink(buffer.data(), got);
    }
    total += done;
  }
  // libarchive treats zeros as an archive without entries.
  check(any, "{}: expected an archive with files, found none in it", path.string());
}

/// Creates a folder and its parents.
void make_folder(const std::filesystem::path& folder) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  check(!error, "cannot create the folder {}: {}", folder.string(), error.message());
}

}  // namespace

std::optional<std::int64_t> any_member(const std::string&) { return kMaxArchiveBytes; }

std::map<std::string, std::vector<std::uint8_t>> read_archive(const std::filesystem::path& path,
                                                              const MemberLimit& wanted, std::int64_t max_bytes,
                                                              FileSystem& file_system) {
  std::map<std::string, std::vector<std::uint8_t>> files;
  walk_archive(
      path, wanted, max_bytes, file_system, [](const std::string&) {},
      [&](const std::string& name) -> Sink {
        std::vector<std::uint8_t>& content = files[name];  // a map's elements keep their addresses
        return [&content](const void* bytes, std::size_t count) {
          const auto* begin = static_cast<const std::uint8_t*>(bytes);
          content.insert(content.end(), begin, begin + count);
        };
      });
  return files;
}

void extract_archive(const std::filesystem::path& path, const std::filesystem::path& folder, std::int64_t max_bytes,
                     const MemberLimit& wanted, FileSystem& file_system) {
  std::optional<OpenFile> file;
  std::filesystem::path target;
  const auto require = [&](bool succeeded, const char* what) {
    check(succeeded, "cannot {} {}: {}", what, target.string(), last_cause());
  };
  const auto close = [&] { require(!file || file->close(), "write"); };
  walk_archive(
      path, wanted, max_bytes, file_system, [&](const std::string& name) { make_folder(folder / name); },
      [&](const std::string& name) -> Sink {
        close();
        target = folder / name;
        make_folder(target.parent_path());
        file.emplace(file_system, target, O_WRONLY | O_CREAT | O_EXCL);
        check(file->is_open() || errno != EEXIST, "cannot unpack {}: it already exists", target.string());
        require(file->is_open(), "create");
        return [&](const void* bytes, std::size_t count) {
          require(file->write(std::span(static_cast<const std::byte*>(bytes), count)), "write");
        };
      });
  close();
}

void use_libarchive() {
  set_archive_reader([](const std::filesystem::path& archive, const MemberLimit& wanted, FileSystem& file_system) {
    return read_archive(archive, wanted, kMaxArchiveBytes, file_system);
  });
}

}  // namespace gradamp
