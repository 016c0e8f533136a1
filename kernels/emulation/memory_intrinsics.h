// SPDX-License-Identifier: MIT
// CUDA's memory intrinsics: atomics, and loads and stores with a cache hint. They are always inlined, so that the
// instructions belong to the kernel's lines, which the race checker names.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "gradamp/kernels/emulation/bfloat16.h"
#include "gradamp/kernels/emulation/scheduler.h"
#include "gradamp/kernels/emulation/source_location.h"
#include "gradamp/kernels/emulation/vector_types.h"

namespace gradamp::emulation {

[[noreturn]] void fail_misaligned(const void* address, std::size_t bytes, const SourceLocation& location);

/// The launch fails unless `address` is a multiple of `bytes`, as an access of that width requires.
inline void check_aligned(const void* address, std::size_t bytes,
                          const SourceLocation& location = SourceLocation::here()) {
  if (reinterpret_cast<std::uintptr_t>(address) % bytes != 0) [[unlikely]]
    fail_misaligned(address, bytes, location);
}

/// The processor's threads run blocks at the same time. A block that has read another one's atomic, and then executes
/// __threadfence, must see what that block wrote before its own __threadfence and atomic. (On CUDA the fences do it;
/// here they do not order the processor's accesses.)
inline constexpr std::memory_order kOrder = std::memory_order_acq_rel;

/// Access to one value that other blocks may change at the same time.
template <typename T>
[[gnu::always_inline]] inline std::atomic_ref<T> atomic_access(T* address, const SourceLocation& location) {
  check_aligned(address, sizeof(T), location);
  return std::atomic_ref<T>(*address);
}

/// Replaces *address by change(*address); returns the old value.
template <typename T, typename Change>
[[gnu::always_inline]] inline T update_atomically(T* address, Change change, const SourceLocation& location) {
  const std::atomic_ref<T> value = atomic_access(address, location);
  T old = value.load(std::memory_order_acquire);
  while (!value.compare_exchange_weak(old, change(old), kOrder)) {
  }
  return old;
}

}  // namespace gradamp::emulation

namespace gradamp::emulated {

// std::type_identity_t: T is deduced from the pointer and the value is converted to it, as with CUDA's overloads.

template <typename T>
[[gnu::always_inline]] inline T atomicAdd(T* address, std::type_identity_t<T> value,
                                          emulation::SourceLocation location = emulation::SourceLocation::here()) {
  return emulation::atomic_access(address, location).fetch_add(value, emulation::kOrder);
}
template <typename T>
[[gnu::always_inline]] inline T atomicSub(T* address, std::type_identity_t<T> value,
                                          emulation::SourceLocation location = emulation::SourceLocation::here()) {
  return emulation::atomic_access(address, location).fetch_sub(value, emulation::kOrder);
}
template <typename T>
[[gnu::always_inline]] inline T atomicOr(T* address, std::type_identity_t<T> value,
                                         emulation::SourceLocation location = emulation::SourceLocation::here()) {
  return emulation::atomic_access(address, location).fetch_or(value, emulation::kOrder);
}
template <typename T>
[[gnu::always_inline]] inline T atomicAnd(T* address, std::type_identity_t<T> value,
                                          emulation::SourceLocation location = emulation::SourceLocation::here()) {
  return emulation::atomic_access(address, location).fetch_and(value, emulation::kOrder);
}
template <typename T>
[[gnu::always_inline]] inline T atomicXor(T* address, std::type_identity_t<T> value,
                                          emulation::SourceLocation location = emulation::SourceLocation::here()) {
  return emulation::atomic_access(address, location).fetch_xor(value, emulation::kOrder);
}
template <typename T>
[[gnu::always_inline]] inline T atomicExch(T* address, std::type_identity_t<T> value,
                                           emulation::SourceLocation location = emulation::SourceLocation::here()) {
  return emulation::atomic_access(address, location).exchange(value, emulation::kOrder);
}
template <typename T>
[[gnu::always_inline]] inline T atomicCAS(T* address, std::type_identity_t<T> expected, std::type_identity_t<T> value,
                                          emulation::SourceLocation location = emulation::SourceLocation::here()) {
  emulation::atomic_access(address, location).compare_exchange_strong(expected, value, emulation::kOrder);
  return expected;
}
template <typename T>
[[gnu::always_inline]] inline T atomicMin(T* address, std::type_identity_t<T> value,
                                          emulation::SourceLocation location = emulation::SourceLocation::here()) {
  return emulation::update_atomically(
      address, [=](T old) { return value < old ? value : old; }, location);
}
template <typename T>
[[gnu::always_inline]] inline T atomicMax(T* address, std::type_identity_t<T> value,
                                          emulation::SourceLocation location = emulation::SourceLocation::here()) {
  return emulation::update_atomically(
      address, [=](T old) { return old < value ? value : old; }, location);
}
/// Counts up to `limit`, then continues at 0.
[[gnu::always_inline]] inline unsigned atomicInc(
    unsigned* address, unsigned limit, emulation::SourceLocation location = emulation::SourceLocation::here()) {
  return emulation::update_atomically(
      address, [=](unsigned old) { return old >= limit ? 0 : old + 1; }, location);
}

// Cache hints have no effect here; the alignment that CUDA requires is checked.

template <typename T>
[[gnu::always_inline]] inline T __ldg(const T* address,
                                      emulation::SourceLocation location = emulation::SourceLocation::here()) {
  emulation::check_aligned(address, sizeof(T), location);
  return *address;
}
template <typename T>
[[gnu::always_inline]] inline T __ldcs(const T* address,
                                       emulation::SourceLocation location = emulation::SourceLocation::here()) {
  return __ldg(address, location);
}
template <typename T>
[[gnu::always_inline]] inline T __ldcg(const T* address,
                                       emulation::SourceLocation location = emulation::SourceLocation::here()) {
  return __ldg(address, location);
}
template <typename T>
[[gnu::always_inline]] inline void __stcs(T* address, std::type_identity_t<T> value,
                                          emulation::SourceLocation location = emulation::SourceLocation::here()) {
  emulation::check_aligned(address, sizeof(T), location);
  *address = value;
}

}  // namespace gradamp::emulated
