// SPDX-License-Identifier: MIT
// Host memory that is kept after use: a training step asks for the same sizes every time, and pages from the system
// cost more than the arithmetic on them.
#pragma once

#include <cstddef>
#include <map>
#include <memory>
#include <mutex>

namespace gradamp {

class CachingAllocator {
 public:
  CachingAllocator();
  /// Memory aligned to 64 bytes, large blocks to 2 MiB (huge pages); Error where the system has none left. It returns
  /// to the cache when the last handle goes, also after the allocator itself has gone.
  std::shared_ptr<void> allocate(std::size_t bytes);

 private:
  struct Pool;
  std::shared_ptr<Pool> pool_;
};

}  // namespace gradamp
