// SPDX-License-Identifier: MIT
// A fiber: a stack of its own that a program can switch to and from. An emulated CUDA thread runs on one.
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
  /// The original stack of an OS thread.
  Fiber() = default;
  /// A new stack. `index`, the fiber's number, staggers the beginnings of the stacks, so that they do not all compete
  /// for the same cache lines: 20% on shuffles.
  Fiber(std::size_t stack_bytes, std::size_t index);
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  /// Abandons the fiber's work: at the next switch to it, it calls `entry`, which must not return.
  void restart(void (*entry)(void*), void* argument);

  /// Switches from this fiber, which must be the running one, to `next`; returns when another fiber switches back.
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

  /// The entry of a new fiber must call this first. It notifies AddressSanitizer of the switch. The first fiber of an
  /// OS thread was entered from `root`, whose stack AddressSanitizer reports at this call.
  static void entered(Fiber& root);

  /// Whether `address` is in the guard below the stack.
  bool overflows_at(const void* address) const { return pages_.covers(address) && address < pages_.begin(); }

 private:
#if defined(GRADAMP_UCONTEXT)
  ucontext_t context_;
#else
  void* stack_pointer_ = nullptr;
#endif
  GuardedPages pages_;  // none for the OS thread's own stack
  std::size_t stagger_ = 0;
  // For AddressSanitizer.
  const void* stack_ = nullptr;
  std::size_t stack_bytes_ = 0;
  void* fake_stack_ = nullptr;
};

}  // namespace gradamp::emulation
