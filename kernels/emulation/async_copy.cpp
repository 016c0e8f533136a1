// SPDX-License-Identifier: MIT
#include "gradamp/kernels/emulation/async_copy.h"

#include <cstring>

#include "gradamp/kernels/emulation/access_observer.h"
#include "gradamp/kernels/emulation/block_runner.h"
#include "gradamp/kernels/emulation/memory_intrinsics.h"

namespace gradamp::emulation {

void begin_async_copy(void* target, const void* source, std::size_t bytes, bool valid, const SourceLocation& location) {
  check_aligned(target, bytes, location);
  if (valid) check_aligned(source, bytes, location);
  if (!running_block->shared().contains(target))
    fail_thread([&] { return "cp.async at " + to_string(location) + ": the target is not in shared memory"; });
  if (access_observer) {
    const void* code = __builtin_return_address(0);
    if (valid) access_observer->read(*running_thread, source, bytes, code);
    access_observer->copy_begins(*running_thread, target, bytes, code);
  }
  std::memset(target, 0xFF, bytes);
  AsyncCopies& copies = running_block->copies_of(*running_thread);
  copies.pending.push_back({target, valid ? source : nullptr, bytes, copies.group});
}

void commit_async_copies() { ++running_block->copies_of(*running_thread).group; }

void wait_async_copies(unsigned groups) {
  AsyncCopies& copies = running_block->copies_of(*running_thread);
  auto copy = copies.pending.begin();
  for (; copy != copies.pending.end() && copy->group + groups < copies.group; ++copy) {
    if (access_observer)
      access_observer->copy_lands(*running_thread, copy->target, copy->bytes, __builtin_return_address(0));
    if (copy->source)
      std::memcpy(copy->target, copy->source, copy->bytes);
    else
      std::memset(copy->target, 0, copy->bytes);
  }
  copies.pending.erase(copies.pending.begin(), copy);
}

}  // namespace gradamp::emulation
