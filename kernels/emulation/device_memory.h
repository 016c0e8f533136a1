// SPDX-License-Identifier: MIT
// The device's memory, pinned host memory and managed memory, which both may access: the results of cudaMalloc,
// cudaMallocHost and cudaMallocManaged. A protected page follows each allocation (under AddressSanitizer, a redzone),
// so that a kernel that runs over the end is detected at once.
#pragma once

#include <cstddef>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "gradamp/kernels/emulation/guarded_pages.h"

namespace gradamp::emulation {

enum class MemoryKind { kDevice, kPinned, kManaged };

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
  /// The number of bytes from `memory` to the end of its allocation, of any kind, or of its variable; 0 if it is in
  /// none.
  std::size_t room_at(const void* memory) const;
  /// A variable of the program that counts as device memory, because a pointer to it is given to kernels and copies.
  void add_variable(const void* memory, std::size_t bytes);
  /// The same for one that has protected pages from `guards_begin` on and up to `guards_end`.
  void add_guarded_variable(const std::string& name, const char* memory, std::size_t bytes, const char* guards_begin,
                            const char* guards_end);
  /// "64 bytes into an allocation of 4096 that was freed" if nothing was allocated there since; else "".
  std::string describe_freed(const void* address) const;

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

  struct GuardedVariable {
    std::string name;
    std::size_t bytes;
    const char *guards_begin, *guards_end;
  };

  const Allocation* find(const void* memory) const;
  void check_variables() const;
  bool is_in_variable(const void* memory, std::size_t bytes) const;

  mutable std::mutex mutex_;
  std::map<const void*, Allocation> allocations_;             // by their first address
  std::map<const void*, std::size_t> variables_;              // bytes of each, by their first address
  std::map<const char*, GuardedVariable> guarded_variables_;  // by their first address
  std::map<const void*, std::size_t> freed_;  // bytes of allocations that were freed, by their first address
  std::size_t used_ = 0;                      // bytes, on the device
};

}  // namespace gradamp::emulation
