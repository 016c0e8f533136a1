// SPDX-License-Identifier: MIT
#include "gradamp/kernels/emulation/fiber.h"

#include <cstdint>

#if !defined(GRADAMP_UCONTEXT)
extern "C" void gradamp_enter_stack();
#endif

namespace gradamp::emulation {
namespace {

constexpr std::size_t kStagger = 192, kMaxStagger = 4096;  // bytes; kStagger is three cache lines

// Small: stacks that are far apart need more page tables, which makes switches 1.5 times slower. Kernels are therefore
// compiled with -fstack-clash-protection, which makes large frames touch every page, so one guard page is enough.
constexpr std::size_t kGuard = kPage;

}  // namespace

Fiber::Fiber(std::size_t stack_bytes, std::size_t index)
    : pages_(stack_bytes, kGuard),
      stagger_(index * kStagger % kMaxStagger),
      stack_(pages_.begin()),
      stack_bytes_(static_cast<std::size_t>(pages_.end() - pages_.begin())) {}

#if defined(GRADAMP_UCONTEXT)

namespace {

struct Entry {
  void (*function)(void*);
  void* argument;
};

// makecontext passes only ints.
void enter(unsigned high, unsigned low) {
  const auto* entry = reinterpret_cast<const Entry*>(std::uintptr_t{high} << 32 | low);
  entry->function(entry->argument);
}

}  // namespace

void Fiber::restart(void (*function)(void*), void* argument) {
  unpoison(stack_, stack_bytes_);
  fake_stack_ = nullptr;
  auto* entry = reinterpret_cast<Entry*>(pages_.begin());  // at the far end of the stack
  *entry = {function, argument};
  getcontext(&context_);
  context_.uc_stack.ss_sp = pages_.begin();
  context_.uc_stack.ss_size = stack_bytes_ - stagger_;
  context_.uc_link = nullptr;
  const auto bits = reinterpret_cast<std::uintptr_t>(entry);
  makecontext(&context_, reinterpret_cast<void (*)()>(enter), 2, static_cast<unsigned>(bits >> 32),
              static_cast<unsigned>(bits));
}

#else

void Fiber::restart(void (*entry)(void*), void* argument) {
  unpoison(stack_, stack_bytes_);
  fake_stack_ = nullptr;
  // What gradamp_switch_stack pops, from the top: rbp, rbx, r12 to r15 below the return address. The stack begins at a
  // multiple of 64, as the calling convention and aligned locals require.
  auto** top = reinterpret_cast<void**>(pages_.end() - stagger_);
  *--top = reinterpret_cast<void*>(&gradamp_enter_stack);
  *--top = nullptr;
  *--top = nullptr;
  *--top = argument;
  *--top = reinterpret_cast<void*>(entry);
  *--top = nullptr;
  *--top = nullptr;
  stack_pointer_ = top;
}

#endif

void Fiber::entered([[maybe_unused]] Fiber& root) {
#if defined(GRADAMP_ADDRESS_SANITIZER)
  const void* stack = nullptr;
  std::size_t bytes = 0;
  __sanitizer_finish_switch_fiber(nullptr, &stack, &bytes);
  if (root.stack_) return;  // known already; this may be another fiber's
  root.stack_ = stack;
  root.stack_bytes_ = bytes;
#endif
}

}  // namespace gradamp::emulation
