// SPDX-License-Identifier: MIT
// The version, in the manner of semver.org. CMakeLists.txt takes it from here.
#pragma once

#define GRADAMP_VERSION_MAJOR 0
#define GRADAMP_VERSION_MINOR 2
#define GRADAMP_VERSION_PATCH 0
#define GRADAMP_VERSION "0.2.0"
