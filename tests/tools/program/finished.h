// SPDX-License-Identifier: MIT
#pragma once

#include <string>

namespace gradamp {

/// How the program ended, and what it wrote.
struct Finished {
  int exit_code = -1;
  std::string out, err;
};

}  // namespace gradamp
