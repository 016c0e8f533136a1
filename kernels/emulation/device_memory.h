// SPDX-License-Identifier: MIT
// The device's memory and pinned host memory: the results of cudaMalloc and cudaMallocHost. A protected page follows
// each allocation (under AddressSanitizer, a redzone), so that a kernel that runs over the end is detected at once.
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

  /// Memory filled with NaN; null if it would exceed the limit.
  void* allocate(std::size_t bytes, MemoryKind kind);
  /// False if `memory` is not an allocation of this kind.
  bool release(void* memory, MemoryKind kind);

  /// Whether all of the bytes are in one allocation of this kind.
  bool contains(const void* memory, std::size_t bytes, MemoryKind kind) const;
  /// The beginning of the allocation that contains this byte; null if none does.
  const void* allocation_of(const void* byte) const;
  std::size_t free_bytes() const;

  /// Error if the bytes just before or just after an allocation have been overwritten since the last call.
  void check_surroundings();
  /// For an address in an allocation's guards: a description of the error; else "".
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
  std::map<const void*, Allocation> allocations_;  // by their first address
  std::size_t used_ = 0;                           // bytes, on the device
};

}  // namespace gradamp::emulation
