// SPDX-License-Identifier: MIT
// What `gradamp emulate` needs on the machine: a C++ compiler, and the emulator's headers and library.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace gradamp {

struct EmulatorInstallation {
  std::vector<std::string> compiler;  // the program, and options of CXX
  std::vector<std::string> compile_options, race_options, link_options;
  std::filesystem::path header_folder;  // contains gradamp/
};

/// The compiler is the environment's CXX, else c++, g++ or clang++. Headers and library are beside the program (in the
/// PREFIX whose bin it is in), in its build folder, or where it was installed. Error if one is missing.
EmulatorInstallation find_emulator();

}  // namespace gradamp
