// SPDX-License-Identifier: MIT
#include "gradamp/kernels/emulation/memory_intrinsics.h"

#include <fmt/format.h>

#include "gradamp/kernels/emulation/access_observer.h"
#include "gradamp/kernels/emulation/block_runner.h"

namespace gradamp::emulation {

void fail_misaligned(const void* address, std::size_t bytes, const SourceLocation& location) {
  fail_thread([&] {
    return fmt::format("access of {} bytes at {}: the address {} is not a multiple of that", bytes, to_string(location),
                       address);
  });
}

void thread_fence() {
  if (access_observer && running_thread) access_observer->fence(*running_thread);
}

}  // namespace gradamp::emulation
