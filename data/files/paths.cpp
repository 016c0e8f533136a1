// SPDX-License-Identifier: MIT
#include "gradamp/data/files/paths.h"

#include <system_error>

#include "gradamp/core/error.h"

namespace gradamp {

namespace fs = std::filesystem;

fs::file_status status_of(const fs::path& path) {
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  check(fs::status_known(status), "cannot open {}: {}", path.string(), error.message());
  return status;
}

void check_is_file(const fs::path& path, const fs::file_status& status) {
  check(fs::is_regular_file(status), "{}: expected a file, got {}", path.string(),
        !fs::exists(status)        ? "nothing"
        : fs::is_directory(status) ? "a folder"
                                   : "a pipe or a device");
}

bool path_exists(const fs::path& path) { return fs::exists(status_of(path)); }

bool is_folder(const fs::path& path) { return fs::is_directory(status_of(path)); }

fs::path absolute_path(const fs::path& path) {
  std::error_code error;
  const fs::path absolute = fs::absolute(path, error);
  check(!error, "{}: the current folder cannot be found ({}); change to another folder, or give an absolute path",
        path.string(), error.message());
  return absolute.lexically_normal();
}

}  // namespace gradamp
