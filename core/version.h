// SPDX-License-Identifier: MIT
// The version, by the rules of semver.org. CMakeLists.txt reads it from here.
#pragma once

#define GRADAMP_VERSION_MAJOR 0
#define GRADAMP_VERSION_MINOR 2
#define GRADAMP_VERSION_PATCH 0

#define GRADAMP_TEXT_OF_(x) #x
#define GRADAMP_TEXT_OF(x) GRADAMP_TEXT_OF_(x)
/// "0.2.0"
#define GRADAMP_VERSION                  \
  GRADAMP_TEXT_OF(GRADAMP_VERSION_MAJOR) \
  "." GRADAMP_TEXT_OF(GRADAMP_VERSION_MINOR) "." GRADAMP_TEXT_OF(GRADAMP_VERSION_PATCH)
