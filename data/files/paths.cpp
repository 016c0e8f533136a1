// SPDX-License-Identifier: MIT
#include "gradamp/data/files/paths.h"

#include <system_error>

#include "gradamp/core/error.h"

namespace gradamp {
namespace {

namespace fs = std::filesystem;

fs::file_status status_of(const fs::path& path) {
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  check(status.type() != fs::file_type::none, "{} cannot be looked at: {}", path.string(), error.message());
  return status;
}

}  // namespace

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
