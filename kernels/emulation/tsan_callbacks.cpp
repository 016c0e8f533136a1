// SPDX-License-Identifier: MIT
// The functions that code compiled with -fsanitize=thread calls, for the race checker instead of ThreadSanitizer's
// runtime. Programs without such code are linked without this file. It must itself not be compiled with
// -fsanitize=thread.
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "gradamp/kernels/emulation/race_checker.h"

namespace gradamp::emulation {
namespace {

// Ignores the host's accesses.
inline void report(const volatile void* address, std::size_t bytes, AccessKind kind, const void* code) {
  if (running_thread)
    RaceChecker::instance().access(*running_thread, const_cast<const void*>(address), bytes, kind, code);
}

}  // namespace
}  // namespace gradamp::emulation

using gradamp::emulation::AccessKind;
using gradamp::emulation::RaceChecker;
using gradamp::emulation::report;

#define CODE __builtin_return_address(0)

extern "C" {

// Called before main by every instrumented file.
void __tsan_init() { RaceChecker::instance(); }
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}
void __tsan_vptr_update(void**, void*) {}
void __tsan_vptr_read(void**) {}
// Nothing to do: one thread of the device runs at a time.
void __tsan_atomic_thread_fence(int) {}
void __tsan_atomic_signal_fence(int) {}

void __tsan_read_range(void* address, std::size_t bytes) { report(address, bytes, AccessKind::kRead, CODE); }
void __tsan_write_range(void* address, std::size_t bytes) { report(address, bytes, AccessKind::kWrite, CODE); }

void* __tsan_memcpy(void* target, const void* source, std::size_t bytes) {
  report(source, bytes, AccessKind::kRead, CODE);
  report(target, bytes, AccessKind::kWrite, CODE);
  return std::memcpy(target, source, bytes);
}
void* __tsan_memmove(void* target, const void* source, std::size_t bytes) {
  report(source, bytes, AccessKind::kRead, CODE);
  report(target, bytes, AccessKind::kWrite, CODE);
  return std::memmove(target, source, bytes);
}
void* __tsan_memset(void* target, int byte, std::size_t bytes) {
  report(target, bytes, AccessKind::kWrite, CODE);
  return std::memset(target, byte, bytes);
}

#define ACCESSES(N)                                                                                              \
  void __tsan_read##N(void* address) { report(address, N, AccessKind::kRead, CODE); }                            \
  void __tsan_write##N(void* address) { report(address, N, AccessKind::kWrite, CODE); }                          \
  void __tsan_unaligned_read##N(void* address) { report(address, N, AccessKind::kRead, CODE); }                  \
  void __tsan_unaligned_write##N(void* address) { report(address, N, AccessKind::kWrite, CODE); }                \
  void __tsan_volatile_read##N(void* address) { report(address, N, AccessKind::kAtomicRead, CODE); }             \
  void __tsan_volatile_write##N(void* address) { report(address, N, AccessKind::kAtomicWrite, CODE); }           \
  void __tsan_unaligned_volatile_read##N(void* address) { report(address, N, AccessKind::kAtomicRead, CODE); }   \
  void __tsan_unaligned_volatile_write##N(void* address) { report(address, N, AccessKind::kAtomicWrite, CODE); } \
  void __tsan_read_write##N(void* address) {                                                                     \
    report(address, N, AccessKind::kRead, CODE);                                                                 \
    report(address, N, AccessKind::kWrite, CODE);                                                                \
  }
ACCESSES(1)
ACCESSES(2)
ACCESSES(4)
ACCESSES(8)
ACCESSES(16)

#define UPDATE(BITS, T, name)                                         \
  T __tsan_atomic##BITS##_##name(volatile T* address, T value, int) { \
    report(address, sizeof(T), AccessKind::kAtomicUpdate, CODE);      \
    return __atomic_##name(address, value, __ATOMIC_SEQ_CST);         \
  }
// atomicCAS is strong; the loops of other atomics are weak. (Clang calls one function for both.)
#define COMPARE_EXCHANGE(BITS, T, name, weak)                                                               \
  int __tsan_atomic##BITS##_compare_exchange_##name(volatile T* address, T* expected, T value, int, int) {  \
    report(address, sizeof(T), weak ? AccessKind::kAtomicUpdate : AccessKind::kCompareAndSwap, CODE);       \
    return __atomic_compare_exchange_n(address, expected, value, weak, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST); \
  }
#define COMPARE_EXCHANGE_VALUE(BITS, T)                                                                \
  T __tsan_atomic##BITS##_compare_exchange_val(volatile T* address, T expected, T value, int, int) {   \
    report(address, sizeof(T), AccessKind::kCompareAndSwap, CODE);                                     \
    __atomic_compare_exchange_n(address, &expected, value, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST); \
    return expected;                                                                                   \
  }
#define ATOMICS(BITS, T)                                                \
  T __tsan_atomic##BITS##_load(const volatile T* address, int) {        \
    report(address, sizeof(T), AccessKind::kAtomicRead, CODE);          \
    return __atomic_load_n(address, __ATOMIC_SEQ_CST);                  \
  }                                                                     \
  void __tsan_atomic##BITS##_store(volatile T* address, T value, int) { \
    report(address, sizeof(T), AccessKind::kAtomicWrite, CODE);         \
    __atomic_store_n(address, value, __ATOMIC_SEQ_CST);                 \
  }                                                                     \
  T __tsan_atomic##BITS##_exchange(volatile T* address, T value, int) { \
    report(address, sizeof(T), AccessKind::kAtomicUpdate, CODE);        \
    return __atomic_exchange_n(address, value, __ATOMIC_SEQ_CST);       \
  }                                                                     \
  UPDATE(BITS, T, fetch_add)                                            \
  UPDATE(BITS, T, fetch_sub)                                            \
  UPDATE(BITS, T, fetch_and)                                            \
  UPDATE(BITS, T, fetch_or)                                             \
  UPDATE(BITS, T, fetch_xor)                                            \
  COMPARE_EXCHANGE(BITS, T, strong, false)                              \
  COMPARE_EXCHANGE(BITS, T, weak, true)                                 \
  COMPARE_EXCHANGE_VALUE(BITS, T)
ATOMICS(8, std::uint8_t)
ATOMICS(16, std::uint16_t)
ATOMICS(32, std::uint32_t)
ATOMICS(64, std::uint64_t)

}  // extern "C"
