// SPDX-License-Identifier: MIT
// A stack of its own that a program can switch to and away from: what an emulated CUDA thread runs on.
#pragma once

#include <cstddef>

#include "gradamp/kernels/emulation/guarded_pages.h"
#include "gradamp/kernels/emulation/poison.h"

#if defined(GRADAMP_ADDRESS_SANITIZER)
#include <sanitizer/common_interface_defs.h>
#endif
#if defined(__x86_64__) && !defined(GRADAMP_UCONTEXT)
extern "C" void gradamp_switch_stack(void** save, void* load);  // fiber_switch_x86_64.S
#else
#define GRADAMP_UCONTEXT 1
#include <ucontext.h>
#endif

namespace gradamp::emulation {

class Fiber {
 public:
  /// The stack that an OS thread began with.
  Fiber() = default;
  /// A new stack. `index` among its like staggers where stacks begin, so that they do not all compete for the same
  /// lines of the cache: 20% on shuffles.
  Fiber(std::size_t stack_bytes, std::size_t index);
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  /// Abandons what the fiber was doing: at the next switch to it, it calls `entry`, which must not return.
  void restart(void (*entry)(void*), void* argument);

  /// Leaves this fiber, which must be the running one, for `next`; returns when something switches back.
  void switch_to(Fiber& next) {
#if defined(GRADAMP_ADDRESS_SANITIZER)
    __sanitizer_start_switch_fiber(&fake_stack_, next.stack_, next.stack_bytes_);
#endif
#if defined(GRADAMP_UCONTEXT)
    swapcontext(&context_, &next.context_);
#else
    gradamp_switch_stack(&stack_pointer_, next.stack_pointer_);
#endif
#if defined(GRADAMP_ADDRESS_SANITIZER)
    __sanitizer_finish_switch_fiber(fake_stack_, nullptr, nullptr);
#endif
  }

  /// Called first by the entry of a new fiber: AddressSanitizer is told where we are. The very first fiber of an OS
  /// thread was switched to from `root`, which learns its own stack from it.
  static void entered(Fiber& root);

  /// Whether `address` is in the guard below the stack.
  bool overflows_at(const void* address) const { return pages_.covers(address) && address < pages_.begin(); }

 private:
#if defined(GRADAMP_UCONTEXT)
  ucontext_t context_;
#else
  void* stack_pointer_ = nullptr;
#endif
  GuardedPages pages_;  // none: the OS thread's own stack
  std::size_t stagger_ = 0;
  // For AddressSanitizer.
  const void* stack_ = nullptr;
  std::size_t stack_bytes_ = 0;
  void* fake_stack_ = nullptr;
};

}  // namespace gradamp::emulation
