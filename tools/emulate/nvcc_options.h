// SPDX-License-Identifier: MIT
// nvcc's options on the command line of `gradamp emulate`, so that a compile command works with the name exchanged.
#pragma once

#include <string>
#include <vector>

namespace gradamp {

struct NvccOptions {
  std::vector<std::string> others;           // the words that are not nvcc's alone, in order
  std::vector<std::string> ignored;          // have no effect here, as they were written
  std::vector<std::string> compile_options;  // for the C++ compiler
  std::vector<std::string> link_options;     // for the linker
  bool debug = false;                        // -G
};

/// Error that says what to do for an option that asks for what the emulator cannot do, such as -lcublas or -ptx.
/// `words`: what follows `emulate`, without the program's own arguments.
NvccOptions take_nvcc_options(const std::vector<std::string>& words);

}  // namespace gradamp
