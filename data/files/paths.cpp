// SPDX-License-Identifier: MIT
#include "gradamp/data/files/paths.h"

#include <fcntl.h>

#include <cerrno>
#include <system_error>

#include "gradamp/core/error.h"
#include "gradamp/data/files/durable_file.h"
#include "gradamp/data/files/open_file.h"

namespace gradamp {

namespace fs = std::filesystem;

std::optional<FileStatus> status_of(const fs::path& path, FileSystem& file_system) {
  // O_PATH needs no permission to read the file, does not wait for a pipe's writer, and follows links.
  OpenFile file(file_system, path, O_PATH);
  if (!file.is_open() && means_missing(errno)) return std::nullopt;
  check(file.is_open(), "cannot open {}: {}", path.string(), last_cause());
  const std::optional<FileStatus> status = file.status();
  const bool known = status.has_value() && file.close();
  check(known, "cannot open {}: {}", path.string(), last_cause());
  return status;
}

bool path_exists(const fs::path& path, FileSystem& file_system) { return status_of(path, file_system).has_value(); }

bool is_folder(const fs::path& path, FileSystem& file_system) {
  const std::optional<FileStatus> status = status_of(path, file_system);
  return status && status->kind == FileKind::kFolder;
}

bool is_free(const fs::path& path, FileSystem& file_system) {
  const std::optional<FileStatus> status = status_of(path, file_system);
  return !status || (status->kind == FileKind::kFolder && names_in(path, file_system).empty());
}

fs::path absolute_path(const fs::path& path) {
  std::error_code error;
  const fs::path absolute = fs::absolute(path, error);
  check(!error, "{}: the current folder cannot be found ({}); change to another folder, or give an absolute path",
        path.string(), error.message());
  return absolute.lexically_normal();
}

}  // namespace gradamp
