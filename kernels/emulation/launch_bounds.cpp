// SPDX-License-Identifier: MIT
#include "gradamp/kernels/emulation/launch_bounds.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace gradamp::emulation {

#if GRADAMP_KNOWS_LAUNCH_BOUNDS

// The beginning and end of the section, from the linker; null if no kernel has the keyword. An entry is the address of
// a function's NOPs.
extern "C" {
[[gnu::weak]] extern const std::uintptr_t __start___patchable_function_entries[];
[[gnu::weak]] extern const std::uintptr_t __stop___patchable_function_entries[];
}

unsigned launch_bounds_of(const void* kernel) {
  constexpr std::ptrdiff_t kMaxWarps = 32;
  constexpr unsigned char kNop = 0x90;
  const auto* code = static_cast<const unsigned char*>(kernel);
  for (const std::uintptr_t* entry = __start___patchable_function_entries; entry != __stop___patchable_function_entries;
       ++entry) {
    const auto* first = reinterpret_cast<const unsigned char*>(*entry);
    const std::ptrdiff_t nops = code - first;
    if (nops <= 0 || nops > kMaxWarps) continue;
    // Another, short function may begin there.
    if (std::all_of(first, code, [](unsigned char byte) { return byte == kNop; }))
      return 32 * static_cast<unsigned>(nops);
  }
  return 0;
}

#else

unsigned launch_bounds_of(const void*) { return 0; }

#endif

}  // namespace gradamp::emulation
