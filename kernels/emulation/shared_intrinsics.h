// SPDX-License-Identifier: MIT
// Shared memory in kernels.
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
void* dynamic_shared_1024();
/// The 32-bit address that TMA and wgmma take, of a byte in the dynamic shared memory.
std::uint32_t shared_window_address(const void* pointer);

template <typename T>
T& shared_array(SharedSlot& slot, const char* name, SourceLocation location = SourceLocation::here()) {
  static_assert(std::is_trivially_default_constructible_v<std::remove_all_extents_t<T>>,
                "nothing constructs what is in shared memory");
  if (slot.block != current_block_serial) [[unlikely]]
    place_shared_array(slot, name, sizeof(T), alignof(T) > kSharedAlignment ? alignof(T) : kSharedAlignment, location);
  return *static_cast<T*>(slot.array);
}

}  // namespace gradamp::emulation

/// Static shared memory: `SHARED(tile, float[32][33]);`. Aligned to at least 16 bytes, never initialized.
#define SHARED(name, ...)                                                                \
  static constinit thread_local ::gradamp::emulation::SharedSlot name##_slot_in_block{}; \
  auto& name = ::gradamp::emulation::shared_array<std::type_identity_t<__VA_ARGS__>>(name##_slot_in_block, #name)

/// The launch's dynamic shared memory as a `T*`, aligned to 128 bytes: `DYNAMIC_SHARED(float, stages);`.
#define DYNAMIC_SHARED(T, name) T* const name = static_cast<T*>(::gradamp::emulation::dynamic_shared())

/// The same aligned to 1024 bytes, after which a swizzle of 128 bytes repeats.
#define DYNAMIC_SHARED_1024(T, name) T* const name = static_cast<T*>(::gradamp::emulation::dynamic_shared_1024())
