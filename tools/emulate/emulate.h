// SPDX-License-Identifier: MIT
// `gradamp emulate`: compiles plain CUDA files with the C++ compiler and runs them on the CPU.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "gradamp/tools/emulate/emulator_installation.h"

namespace gradamp {

struct EmulateOptions {
  std::vector<std::filesystem::path> files;
  std::vector<std::string> include_folders, definitions;  // as -I and -D of a compiler
  bool race = false;                                      // also find races and reads of uninitialized memory
  bool debug = false;                                     // without optimization, for gdb
  std::string order = "forward";                          // of threads and blocks: forward, reverse, shuffled
  std::uint64_t seed = 1;                                 // of the shuffled order
  std::filesystem::path output;                           // keep the program here and do not run it; empty: run it
  std::filesystem::path dependencies;  // with `output`: a file for make or ninja with the program's sources, or empty
  std::vector<std::string> arguments;  // of the program
  std::vector<std::string> ignored;    // options of nvcc that have no effect, for a note
  std::vector<std::string> compile_options, link_options;  // for the C++ compiler, as after nvcc's -Xcompiler
};

/// Returns the program's exit code, 128 + the signal that ended it, or 1 if it does not compile. Error for a file that
/// cannot be read, written or translated.
int emulate(const EmulateOptions& options, const EmulatorInstallation& installation);

}  // namespace gradamp
