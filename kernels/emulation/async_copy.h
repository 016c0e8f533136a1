// SPDX-License-Identifier: MIT
// cp.async: copies from global to shared memory that a thread issues in groups and waits for later. The emulator
// performs them as late as the program allows, at the wait; until then the target holds NaN.
#pragma once

#include <cstddef>
#include <vector>

#include "gradamp/kernels/emulation/source_location.h"

namespace gradamp::emulation {

struct AsyncCopy {
  void* target;
  const void* source;  // null: zeros
  std::size_t bytes;
  unsigned group;
};

/// The copies that one thread has issued and not waited for.
struct AsyncCopies {
  std::vector<AsyncCopy> pending;
  unsigned group = 0;  // of the next copy; not reset between blocks
};

/// `bytes` is 4, 8 or 16; both addresses must be multiples of it. Unless `valid`, the copy writes zeros and reads
/// nothing.
void begin_async_copy(void* target, const void* source, std::size_t bytes, bool valid, const SourceLocation& location);
/// Closes the group of the copies issued since the last commit.
void commit_async_copies();
/// Completes the thread's copies, except those of its last `groups` groups.
void wait_async_copies(unsigned groups);

}  // namespace gradamp::emulation
