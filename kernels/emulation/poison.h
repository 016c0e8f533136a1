// SPDX-License-Identifier: MIT
// Marks memory as inaccessible for AddressSanitizer. Without it, these functions do nothing.
#pragma once

#include <cstddef>

// GCC defines a macro, Clang a feature.
#if defined(__SANITIZE_ADDRESS__)
#define GRADAMP_ADDRESS_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define GRADAMP_ADDRESS_SANITIZER 1
#endif
#endif

#if defined(GRADAMP_ADDRESS_SANITIZER)
#include <sanitizer/asan_interface.h>
#endif

namespace gradamp::emulation {

#if defined(GRADAMP_ADDRESS_SANITIZER)
inline constexpr bool kAddressSanitizer = true;
inline void poison(const void* memory, std::size_t bytes) { __asan_poison_memory_region(memory, bytes); }
inline void unpoison(const void* memory, std::size_t bytes) { __asan_unpoison_memory_region(memory, bytes); }
#else
inline constexpr bool kAddressSanitizer = false;
inline void poison(const void*, std::size_t) {}
inline void unpoison(const void*, std::size_t) {}
#endif

}  // namespace gradamp::emulation
