// SPDX-License-Identifier: MIT
#include "gradamp/tools/run/cache_folder.h"

#include <cstdlib>

#include "gradamp/core/error.h"

namespace gradamp {

std::filesystem::path cache_folder() {
  // The XDG base directory specification requires that relative paths are ignored.
  const char* cache = std::getenv("XDG_CACHE_HOME");
  if (cache != nullptr && *cache == '/') return std::filesystem::path(cache) / "gradamp";
  const char* home = std::getenv("HOME");
  check(home != nullptr && *home != '\0', "no folder for datasets: expected XDG_CACHE_HOME or HOME in the environment");
  return std::filesystem::path(home) / ".cache" / "gradamp";
}

}  // namespace gradamp
