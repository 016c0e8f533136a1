// SPDX-License-Identifier: MIT
#include "gradamp/kernels/emulation/fault_handler.h"

#include <fmt/format.h>

#include "gradamp/kernels/emulation/block_runner.h"
#include "gradamp/kernels/emulation/device_access.h"
#include "gradamp/kernels/emulation/device_memory.h"
#include "gradamp/kernels/emulation/poison.h"
#include "gradamp/kernels/emulation/symbolizer.h"

#if defined(__linux__) && (defined(__x86_64__) || defined(__aarch64__))
#define GRADAMP_HANDLES_FAULTS 1
#include <signal.h>
#include <ucontext.h>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#endif

namespace gradamp::emulation {

#if defined(GRADAMP_HANDLES_FAULTS)

namespace {

constexpr std::size_t kStackBytes = 64 << 10;

constinit thread_local const void* fault_address = nullptr;
constinit thread_local const void* fault_code = nullptr;
struct sigaction previous_action;

// The stack on which an OS thread handles faults: the CUDA thread's own stack may have overflowed.
struct SignalStack {
  std::unique_ptr<std::byte[]> memory = std::make_unique<std::byte[]>(kStackBytes);

  SignalStack() {
    stack_t stack{};
    stack.ss_sp = memory.get();
    stack.ss_size = kStackBytes;
    sigaltstack(&stack, nullptr);
  }
  ~SignalStack() {
    stack_t stack{};
    stack.ss_flags = SS_DISABLE;
    sigaltstack(&stack, nullptr);
  }
};

SignalStack& signal_stack() {
  static thread_local SignalStack stack;
  return stack;
}

// The instruction that was interrupted.
const void* instruction_in(const ucontext_t& context) {
#if defined(__x86_64__)
  return reinterpret_cast<const void*>(context.uc_mcontext.gregs[REG_RIP]);
#else
  return reinterpret_cast<const void*>(context.uc_mcontext.pc);
#endif
}

// The handler returns into a call of `function` on the stack that begins at `top`, a multiple of 16.
void return_into(ucontext_t& context, void (*function)(), std::uintptr_t top) {
#if defined(__x86_64__)
  context.uc_mcontext.gregs[REG_RSP] = static_cast<greg_t>(top - 8);  // a call pushes the return address
  context.uc_mcontext.gregs[REG_RIP] = reinterpret_cast<greg_t>(function);
#else
  context.uc_mcontext.sp = top;
  context.uc_mcontext.pc = reinterpret_cast<std::uintptr_t>(function);
#endif
}

std::string describe_fault() {
  if (running_block->overflows_stack_at(fault_address))
    return fmt::format("memory below its stack of {} bytes; more: emulation::config().stack_bytes",
                       config().stack_bytes);
  if (const std::string what = running_block->shared().describe_overrun(fault_address); !what.empty()) return what;
  if (const std::string what = DeviceMemory::instance().describe_overrun(fault_address); !what.empty()) return what;
  if (const std::string what = DeviceMemory::instance().describe_freed(fault_address); !what.empty())
    return fmt::format("address {}, {}", fault_address, what);
  return fmt::format("address {}, which is not the device's memory", fault_address);
}

// The CUDA thread continues here after a fault, on the signal stack.
[[noreturn]] void fail_faulted_thread() {
  running_block->fail([] { return fmt::format("access to {}, at {}", describe_fault(), describe_code(fault_code)); });
}

// An exception cannot leave the faulting instruction, so the program ends.
[[noreturn]] void end_host_code(const void* code) {
  std::fprintf(stderr, "host code touched the device's memory at %p, in %s: copy it with cudaMemcpy\n", fault_address,
               describe_code(code).c_str());
  if (config().protect_without_keys) {  // in a program of `gradamp emulate`, whose exit code says what was found
    std::fflush(stdout);
    std::_Exit(1);
  }
  std::abort();
}

void handle_fault(int signal, siginfo_t* info, void* context) {
  if (!running_thread && (info->si_code == SEGV_PKUERR || is_protected_from_host(info->si_addr))) {
    fault_address = info->si_addr;
    end_host_code(instruction_in(*static_cast<ucontext_t*>(context)));
  }
  if (!running_thread) {  // not a CUDA thread: the instruction faults again, and the previous handler handles it
    sigaction(signal, &previous_action, nullptr);
    return;
  }
  auto& registers = *static_cast<ucontext_t*>(context);
  fault_address = info->si_addr;
  fault_code = instruction_in(registers);
  const auto top = reinterpret_cast<std::uintptr_t>(signal_stack().memory.get() + kStackBytes) & ~std::uintptr_t{15};
  return_into(registers, &fail_faulted_thread, top);
}

bool install_handler() {
  struct sigaction action {};
  action.sa_sigaction = &handle_fault;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  sigaction(SIGSEGV, &action, &previous_action);
  return true;
}

}  // namespace

void watch_for_faults() {
  if (kAddressSanitizer) return;
  [[maybe_unused]] static const bool installed = install_handler();
  signal_stack();
}

#else

void watch_for_faults() {}

#endif

}  // namespace gradamp::emulation
