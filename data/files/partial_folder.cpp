// SPDX-License-Identifier: MIT
#include "gradamp/data/files/partial_folder.h"

#include <fcntl.h>

#include <system_error>

#include "gradamp/core/error.h"
#include "gradamp/data/files/durable_file.h"
#include "gradamp/data/files/open_file.h"
#include "gradamp/data/files/paths.h"

namespace gradamp {
namespace {

constexpr const char* kMark = ".made-by-gradamp";

}  // namespace

PartialFolder::PartialFolder(const std::filesystem::path& target) : target_(target), path_(target) {
  path_ += ".partial";
  std::error_code error;
  if (file_exists(path_)) {
    const bool is_ours = file_exists(path_ / kMark);
    check(is_ours || is_free(path_), "{} is there already, and this program did not make it; rename or remove it",
          path_.string());
    if (is_ours) std::filesystem::remove_all(path_, error);
    check(!error, "cannot remove the leftover folder {}: {}", path_.string(), error.message());
  }
  std::filesystem::create_directories(path_, error);
  check(!error, "cannot create the folder {}: {}", path_.string(), error.message());
  OpenFile mark(real_file_system(), path_ / kMark, O_WRONLY | O_CREAT);
  const bool is_marked = mark.is_open() && mark.close();
  check(is_marked, "cannot create {}: {}", (path_ / kMark).string(), last_cause());
}

PartialFolder::~PartialFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

void PartialFolder::rename_to_target() {
  std::error_code error;
  std::filesystem::remove(path_ / kMark, error);
  if (!error) std::filesystem::rename(path_, target_, error);
  check(!error, "cannot rename {} to {}: {}", path_.string(), target_.string(), error.message());
}

}  // namespace gradamp
