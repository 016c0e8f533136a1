// SPDX-License-Identifier: MIT
// The device's memory and the host memory that was pinned: what cudaMalloc and cudaMallocHost gave out. An allocation
// ends at a page that nothing may touch (under AddressSanitizer, at its redzone), so that a kernel that runs over the
// end is found at once.
#pragma once

#include <cstddef>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "gradamp/kernels/emulation/guarded_pages.h"

namespace gradamp::emulation {

enum class MemoryKind { kDevice, kPinned };

class DeviceMemory {
 public:
  static DeviceMemory& instance();

  /// Memory filled with NaN; null where the limit does not allow it.
  void* allocate(std::size_t bytes, MemoryKind kind);
  /// False where `memory` is not an allocation of this kind.
  bool release(void* memory, MemoryKind kind);

  /// Whether all of the bytes lie in one allocation of this kind.
  bool contains(const void* memory, std::size_t bytes, MemoryKind kind) const;
  /// Where the allocation that has this byte begins; null if none has it.
  const void* allocation_of(const void* byte) const;
  std::size_t free_bytes() const;

  /// Error where something was written just before or just after an allocation since this was last asked.
  void check_surroundings();
  /// For an address outside of an allocation but in its guards: what is wrong with it; else "".
  std::string describe_overrun(const void* address) const;

 private:
  struct Free {
    void operator()(char* memory) const;
  };
  struct Allocation {
    char* begin;
    std::size_t bytes;
    MemoryKind kind;
    GuardedPages pages;
    std::unique_ptr<char[], Free> heap;  // instead of the pages, under AddressSanitizer
  };

  const Allocation* find(const void* memory) const;

  mutable std::mutex mutex_;
  std::map<const void*, Allocation> allocations_;  // by their beginning
  std::size_t used_ = 0;                           // on the device
};

}  // namespace gradamp::emulation
