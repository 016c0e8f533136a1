// SPDX-License-Identifier: MIT
#include "kernels/emulation/launch.h"

#include "core/error.h"
#include "kernels/emulation/device_memory.h"

namespace gradamp::emulation {

void check_pointer_argument(const void* argument, int position, const Site& site) {
  if (!argument) return;
  const DeviceMemory& memory = DeviceMemory::instance();
  check(memory.contains(argument, 0, MemoryKind::kDevice) || memory.contains(argument, 0, MemoryKind::kPinned),
        "kernel launched at {}: argument {} is {}, which is not in memory that cudaMalloc gave or still gives",
        to_string(site), position, argument);
}

}  // namespace gradamp::emulation
