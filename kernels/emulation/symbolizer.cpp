// SPDX-License-Identifier: MIT
#include "gradamp/kernels/emulation/symbolizer.h"

#include <dlfcn.h>
#include <execinfo.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <map>
#include <memory>
#include <mutex>
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
  bool in_own_file() const {
    const auto is_in = [&](const char* part) { return place.find(part) != std::string::npos; };
    return in_kernel_file() && !(is_in("/kernels/emulation/") && is_in(".cpp:"));
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

// The same for code that is loaded as a part of `program`.
std::vector<Frame> frames_of(const Dl_info& program, const void* code) {
  const auto address = reinterpret_cast<std::uintptr_t>(code);
  // The debug information of a program that is linked to fixed addresses has absolute addresses.
  std::vector<Frame> frames =
      frames_at(program.dli_fname, address - reinterpret_cast<std::uintptr_t>(program.dli_fbase));
  return frames.empty() ? frames_at(program.dli_fname, address) : frames;
}

// "a.cu:12"; "" for code of the emulator or of a library. Remembered, because a mistake may be repeated in a loop.
std::string own_place_of(const void* code) {
  static std::mutex mutex;
  static std::map<const void*, std::string> known;
  const std::lock_guard lock(mutex);
  const auto [entry, is_new] = known.try_emplace(code);
  Dl_info program{}, own{};
  if (!is_new || !dladdr(code, &program) || !dladdr(reinterpret_cast<const void*>(&own_place_of), &own) ||
      program.dli_fbase != own.dli_fbase)
    return entry->second;
  const std::vector<Frame> frames = frames_of(program, code);
  const auto found = std::find_if(frames.begin(), frames.end(), [](const Frame& frame) { return frame.in_own_file(); });
  if (found != frames.end()) entry->second = found->name();
  return entry->second;
}

}  // namespace

CallSite own_call_site(const void* interrupted) {
  constexpr int kMaxFrames = 64;
  void* frames[kMaxFrames];
  const int count = backtrace(frames, kMaxFrames);
  int first = 0;
  while (interrupted && first < count && frames[first] != interrupted) ++first;
  CallSite site;
  if (interrupted && first == count) {
    site.place = own_place_of(interrupted);
    return site;
  }
  for (int i = first; i < count; ++i) {
    // A return address is just behind the call.
    const bool is_call = i != first || !interrupted;
    site.place = own_place_of(static_cast<const char*>(frames[i]) - (is_call ? 1 : 0));
    if (!site.place.empty()) break;
    Dl_info function{};
    site.callee = dladdr(frames[i], &function) && function.dli_sname ? function.dli_sname : "";
  }
  return site;
}

std::string describe_code(const void* code) {
  Dl_info program{};
  if (!dladdr(code, &program) || !program.dli_fbase) return fmt::format("code {}", code);
  const auto address = reinterpret_cast<std::uintptr_t>(code);
  const std::uintptr_t offset = address - reinterpret_cast<std::uintptr_t>(program.dli_fbase);
  const std::vector<Frame> frames = frames_of(program, code);
  if (frames.empty()) return fmt::format("code {:#x} of {}", offset, program.dli_fname);
  const auto kernel =
      std::find_if(frames.begin(), frames.end(), [](const Frame& frame) { return frame.in_kernel_file(); });
  return kernel != frames.end() ? kernel->name() : frames.front().name();
}

}  // namespace gradamp::emulation
