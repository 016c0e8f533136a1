// SPDX-License-Identifier: MIT
// The implementation of SHARED and DYNAMIC_SHARED of kernels/cuda/cuda.h.
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "gradamp/kernels/emulation/source_location.h"

namespace gradamp::emulation {

inline constexpr std::size_t kSharedAlignment = 16;  // minimum for static arrays

/// The address of one SHARED() array in the block that an OS thread runs.
struct SharedSlot {
  std::uint32_t block = 0;
  void* array = nullptr;
};

/// Differs between any two blocks that an OS thread runs.
inline constinit thread_local std::uint32_t current_block_serial = 0;

/// Allocates the slot's array in the current block. Called by the block's first thread that reaches the declaration.
void place_shared_array(SharedSlot& slot, const char* name, std::size_t bytes, std::size_t alignment,
                        const SourceLocation& location);
void* dynamic_shared();

template <typename T>
T& shared_array(SharedSlot& slot, const char* name, SourceLocation location = SourceLocation::here()) {
  static_assert(std::is_trivially_default_constructible_v<std::remove_all_extents_t<T>>,
                "nothing constructs what is in shared memory");
  if (slot.block != current_block_serial) [[unlikely]]
    place_shared_array(slot, name, sizeof(T), alignof(T) > kSharedAlignment ? alignof(T) : kSharedAlignment, location);
  return *static_cast<T*>(slot.array);
}

}  // namespace gradamp::emulation
