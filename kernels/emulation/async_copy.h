// SPDX-License-Identifier: MIT
// cp.async: copies from global to shared memory that a thread issues in groups and waits for later. Here they land as
// late as the program lets them, at the wait; until then the target holds NaN.
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

/// The copies that one thread has issued.
struct AsyncCopies {
  std::vector<AsyncCopy> pending;
  unsigned group = 0;  // that the next copy belongs to; it counts on from block to block
};

/// `bytes` is 4, 8 or 16, and what both addresses are multiples of. Where not `valid`, zeros arrive and nothing is
/// read.
void begin_async_copy(void* target, const void* source, std::size_t bytes, bool valid, const SourceLocation& location);
/// Closes the group of the copies issued since the last commit.
void commit_async_copies();
/// Lands the thread's copies but those of its last `groups` groups.
void wait_async_copies(unsigned groups);

}  // namespace gradamp::emulation
