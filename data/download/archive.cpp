// SPDX-License-Identifier: MIT
#include "gradamp/data/download/archive.h"

#include <archive.h>
#include <archive_entry.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <memory>
#include <set>
#include <utility>

#include "gradamp/core/error.h"
#include "gradamp/data/files/archive_reader.h"

namespace gradamp {
namespace {

struct FreeArchive {
  void operator()(archive* handle) const { archive_read_free(handle); }
};
using ArchiveHandle = std::unique_ptr<archive, FreeArchive>;

/// Throws Error with libarchive's reason.
[[noreturn]] void fail_reading(const std::filesystem::path& path, archive* handle) {
  const char* reason = archive_error_string(handle);
  fail("{}: cannot be read as a .tar.gz archive ({}); fetch it again", path.string(),
       reason == nullptr ? "no reason given" : reason);
}

ArchiveHandle open_archive(const std::filesystem::path& path) {
  ArchiveHandle handle(archive_read_new());
  check(handle != nullptr, "libarchive could not be started: out of memory");
  archive_read_support_filter_gzip(handle.get());
  archive_read_support_format_tar(handle.get());
  if (archive_read_open_filename(handle.get(), path.c_str(), 1 << 16) != ARCHIVE_OK) fail_reading(path, handle.get());
  return handle;
}

/// The path of an entry without leading "./". Error if it leads out of the folder.
std::string safe_path(const std::filesystem::path& archive_path, archive_entry* entry) {
  const char* name = archive_entry_pathname(entry);
  check(name != nullptr && *name != '\0', "{}: holds an entry without a name", archive_path.string());
  const std::filesystem::path path(name);
  check(!path.is_absolute() && std::none_of(path.begin(), path.end(), [](const auto& part) { return part == ".."; }),
        "{}: holds the path '{}', which leads out of the folder it is unpacked into; nothing of it is used",
        archive_path.string(), name);
  return path.lexically_normal().generic_string();
}

/// Calls `on_file` for every regular file; if it returns a sink, passes the file's content to that, in pieces.
using Sink = std::function<void(const void*, std::size_t)>;
void walk_archive(const std::filesystem::path& path, std::int64_t max_bytes,
                  const std::function<void(const std::string&)>& on_folder,
                  const std::function<Sink(const std::string&)>& on_file) {
  const ArchiveHandle handle = open_archive(path);
  std::set<std::string> seen;
  std::vector<char> buffer(1 << 16);
  std::int64_t total = 0;
  for (;;) {
    archive_entry* entry = nullptr;
    const int status = archive_read_next_header(handle.get(), &entry);
    if (status == ARCHIVE_EOF) break;
    if (status != ARCHIVE_OK) fail_reading(path, handle.get());
    const std::string name = safe_path(path, entry);
    const auto type = archive_entry_filetype(entry);
    check((type == AE_IFREG || type == AE_IFDIR) && archive_entry_hardlink(entry) == nullptr &&
              archive_entry_symlink(entry) == nullptr,
          "{}: holds '{}', which is a link or a device; only files and folders are expected, nothing of it is used",
          path.string(), name);
    if (type == AE_IFDIR) {
      on_folder(name);
      continue;
    }
    check(seen.insert(name).second, "{}: holds '{}' twice; nothing of it is used", path.string(), name);
    const Sink sink = on_file(name);
    la_ssize_t got = 0;
    while ((got = archive_read_data(handle.get(), buffer.data(), buffer.size())) > 0) {
      total += got;
      check(total <= max_bytes, "{}: unpacks to more than {} bytes, which no archive of this kind does", path.string(),
            max_bytes);
      if (sink) sink(buffer.data(), static_cast<std::size_t>(got));
    }
    if (got < 0) fail_reading(path, handle.get());
  }
  // libarchive treats an empty file as an archive without entries.
  check(!seen.empty(), "{}: expected a .tar.gz archive with files, found none in it", path.string());
}

/// Creates a folder and its parents.
void make_folder(const std::filesystem::path& folder) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  check(!error, "cannot create the folder {}: {}", folder.string(), error.message());
}

}  // namespace

std::map<std::string, std::vector<std::uint8_t>> read_archive(const std::filesystem::path& path,
                                                              const std::function<bool(const std::string&)>& wanted,
                                                              std::int64_t max_bytes) {
  std::map<std::string, std::vector<std::uint8_t>> files;
  walk_archive(
      path, max_bytes, [](const std::string&) {},
      [&](const std::string& name) -> Sink {
        if (!wanted(name)) return {};
        std::vector<std::uint8_t>& content = files[name];  // a map's elements keep their addresses
        return [&content](const void* bytes, std::size_t count) {
          const auto* begin = static_cast<const std::uint8_t*>(bytes);
          content.insert(content.end(), begin, begin + count);
        };
      });
  return files;
}

void extract_archive(const std::filesystem::path& path, const std::filesystem::path& folder, std::int64_t max_bytes) {
  std::ofstream file;
  std::filesystem::path target;
  const auto close = [&] {
    if (!file.is_open()) return;
    file.close();
    check(!file.fail(), "cannot write {}: {}", target.string(), std::strerror(errno));
  };
  walk_archive(
      path, max_bytes, [&](const std::string& name) { make_folder(folder / name); },
      [&](const std::string& name) -> Sink {
        close();
        target = folder / name;
        check(!std::filesystem::exists(target), "cannot unpack {}: it already exists", target.string());
        make_folder(target.parent_path());
        file.clear();
        file.open(target, std::ios::binary);
        check(file.is_open(), "cannot create {}: {}", target.string(), std::strerror(errno));
        return [&](const void* bytes, std::size_t count) {
          file.write(static_cast<const char*>(bytes), static_cast<std::streamsize>(count));
          check(file.good(), "cannot write {}: {}", target.string(), std::strerror(errno));
        };
      });
  close();
}

void use_libarchive() {
  set_archive_reader([](const std::filesystem::path& archive, const std::function<bool(const std::string&)>& wanted) {
    return read_archive(archive, wanted);
  });
}

}  // namespace gradamp
