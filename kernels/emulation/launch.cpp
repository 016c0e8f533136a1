// SPDX-License-Identifier: MIT
#include "gradamp/kernels/emulation/launch.h"

#include <fmt/format.h>

#include "gradamp/core/error.h"
#include "gradamp/kernels/emulation/device_memory.h"

namespace gradamp::emulation {

void check_pointer_argument(const void* argument, int position, const SourceLocation& location) {
  if (!argument) return;
  const DeviceMemory& memory = DeviceMemory::instance();
  for (const MemoryKind kind : {MemoryKind::kDevice, MemoryKind::kPinned, MemoryKind::kManaged})
    if (memory.contains(argument, 0, kind)) return;
  const std::string freed = memory.describe_freed(argument);
  fail("kernel launched at {}: argument {} is {}, which is not in memory that cudaMalloc gave or still gives{}",
       to_string(location), position, argument, freed.empty() ? "" : ": it is " + freed);
}

std::string name_of_argument(int position, const SourceLocation& location) {
  return fmt::format("argument {} of the kernel launched at {}", position, to_string(location));
}

}  // namespace gradamp::emulation
