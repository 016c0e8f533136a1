// SPDX-License-Identifier: MIT
#include "gradamp/kernels/emulation/symbolizer.h"

#include <dlfcn.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <sstream>
#include <string_view>
#include <vector>

#include <fmt/format.h>

namespace gradamp::emulation {
namespace {

// The output of `command`; "" if it cannot be run.
std::string output_of(const std::string& command) {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> pipe(popen(command.c_str(), "r"), &pclose);
  std::string text;
  char buffer[512];
  while (pipe && std::fgets(buffer, sizeof buffer, pipe.get())) text += buffer;
  return text;
}

std::string shell_quoted(std::string_view word) {
  std::string quoted = "'";
  for (const char c : word) quoted += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return quoted + "'";
}

struct Frame {
  std::string function, place;

  bool known() const { return !place.starts_with("??") && !place.ends_with(":?"); }
  // False for headers of the emulator, of CUDA's intrinsics and of the standard library, and if nothing is known.
  bool in_kernel_file() const {
    const auto is_in = [&](const char* part) { return place.find(part) != std::string::npos; };
    const bool emulator = is_in("/kernels/emulation/") && is_in(".h:");
    const bool wrapper = is_in("/kernels/cuda/ptx_emulated.h:") || is_in("/kernels/cuda/ptx_hopper_emulated.h:");
    return known() && !emulator && !wrapper && !is_in("/kernels/cuda/cuda.h:") && !is_in("/include/c++/");
  }
  // The file and line without folders, and without what addr2line may append to the line.
  std::string name() const {
    if (!known()) return function;
    const std::size_t begin = place.find_last_of('/') + 1;
    return place.substr(begin, place.find(' ', begin) - begin);
  }
};

// From the innermost inlined function outwards; empty if nothing is known.
std::vector<Frame> frames_at(const char* program, std::uintptr_t address) {
  std::istringstream lines(
      output_of(fmt::format("addr2line -f -i -C -e {} {:#x} 2>/dev/null", shell_quoted(program), address)));
  std::vector<Frame> frames;
  for (Frame frame; std::getline(lines, frame.function) && std::getline(lines, frame.place);)
    if (!frame.function.starts_with("??")) frames.push_back(frame);
  return frames;
}

}  // namespace

std::string describe_code(const void* code) {
  Dl_info program{};
  if (!dladdr(code, &program) || !program.dli_fbase) return fmt::format("code {}", code);
  const auto address = reinterpret_cast<std::uintptr_t>(code);
  const std::uintptr_t offset = address - reinterpret_cast<std::uintptr_t>(program.dli_fbase);
  // The debug information of a program that is linked to fixed addresses has absolute addresses.
  std::vector<Frame> frames = frames_at(program.dli_fname, offset);
  if (frames.empty()) frames = frames_at(program.dli_fname, address);
  if (frames.empty()) return fmt::format("code {:#x} of {}", offset, program.dli_fname);
  const auto kernel =
      std::find_if(frames.begin(), frames.end(), [](const Frame& frame) { return frame.in_kernel_file(); });
  return kernel != frames.end() ? kernel->name() : frames.front().name();
}

}  // namespace gradamp::emulation
