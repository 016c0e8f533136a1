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
#include <execinfo.h>
#include <signal.h>
#include <ucontext.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <iterator>
#include <memory>
#include <string>
#include <utility>
#endif

namespace gradamp::emulation {

#if defined(GRADAMP_HANDLES_FAULTS)

namespace {

constexpr std::size_t kStackBytes = 64 << 10;

constinit thread_local const void* fault_address = nullptr;
constinit thread_local const void* fault_code = nullptr;
constinit thread_local int fault_signal = 0;

constexpr int kSignals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL};
struct sigaction previous_actions[std::size(kSignals)];

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

const void* stack_pointer_in(const ucontext_t& context) {
#if defined(__x86_64__)
  return reinterpret_cast<const void*>(context.uc_mcontext.gregs[REG_RSP]);
#else
  return reinterpret_cast<const void*>(context.uc_mcontext.sp);
#endif
}

std::string describe_access() {
  if (running_block->overflows_stack_at(fault_address))
    return fmt::format("memory below its stack of {} bytes; more: emulation::config().stack_bytes",
                       config().stack_bytes);
  if (const std::string what = running_block->shared().describe_overrun(fault_address); !what.empty()) return what;
  if (const std::string what = DeviceMemory::instance().describe_overrun(fault_address); !what.empty()) return what;
  if (const std::string what = DeviceMemory::instance().describe_freed(fault_address); !what.empty())
    return fmt::format("address {}, {}", fault_address, what);
  return fmt::format("address {}, which is not the device's memory", fault_address);
}

std::string describe_fault() {
  // The processor reports both in the same way.
  if (fault_signal == SIGFPE) return "integer division by zero, or of the least integer by -1";
  if (fault_signal == SIGILL) return "an instruction that cannot be executed";
  return "access to " + describe_access();
}

// The CUDA thread continues here after a fault, on the signal stack.
[[noreturn]] void fail_faulted_thread() {
  running_block->fail([] { return fmt::format("{}, at {}", describe_fault(), describe_code(fault_code)); });
}

// Whether a function of the C or C++ library gives memory back.
bool frees(const std::string& function) {
  for (const char* name : {"free", "realloc", "_Zdl", "_Zda"})
    if (function.find(name) != std::string::npos) return true;
  return false;
}

// What a signal's description needs, such as memory, may be locked by the code that the signal interrupted.
void end_soon() {
  constexpr unsigned kSeconds = 20;
  signal(SIGALRM, SIG_DFL);
  alarm(kSeconds);
}

// An exception cannot leave the faulting instruction, so the program ends.
[[noreturn]] void end_host_code(const void* code, bool in_guard) {
  end_soon();
  const CallSite site = own_call_site(code);
  const std::string place = site.place.empty() ? describe_code(code) : site.place;
  const std::string what =
      frees(site.callee)
          ? fmt::format("host code at {} frees the device's memory at {}: free it with cudaFree", place, fault_address)
      : in_guard
          ? fmt::format("host code at {} accesses {}", place, DeviceMemory::instance().describe_overrun(fault_address))
          : fmt::format("host code touched the device's memory at {}, in {}: copy it with cudaMemcpy", fault_address,
                        place);
  if (config().report_host_crash) {  // in a program of `gradamp emulate`, whose exit code says what was found
    config().report_host_crash(what);
    std::_Exit(1);
  }
  std::fprintf(stderr, "%s\n", what.c_str());
  std::abort();
}

// For config().report_host_crash.
std::string describe_host_crash(const ucontext_t& context) {
  const void* code = instruction_in(context);
  const CallSite site = own_call_site(code);
  const std::string place = site.place.empty() ? describe_code(code) : site.place;
  const auto from_stack = static_cast<const char*>(fault_address) - static_cast<const char*>(stack_pointer_in(context));
  constexpr std::ptrdiff_t kNear = 64 << 20;  // a function's frame may be larger than the stack
  if (fault_signal == SIGSEGV && from_stack > -kNear && from_stack < kNear)
    return fmt::format("the host's stack is full, at {}: large arrays belong into a std::vector", place);
  if (fault_signal == SIGSEGV || fault_signal == SIGBUS)
    return fmt::format("host code accessed address {}, which is not in its memory, at {}", fault_address, place);
  return fmt::format("host code: {}, at {}", describe_fault(), place);
}

void handle_host_fault(int signal, const siginfo_t& info, const ucontext_t& context) {
  if (config().report_host_crash) {
    static bool reported = false;
    end_soon();
    if (!std::exchange(reported, true)) config().report_host_crash(describe_host_crash(context));
  }
  // The instruction faults again, and the previous handler handles it.
  for (std::size_t i = 0; i < std::size(kSignals); ++i)
    if (kSignals[i] == signal) sigaction(signal, &previous_actions[i], nullptr);
  if (info.si_code <= 0) raise(signal);  // it came from a program
}

bool is_device_fault(const siginfo_t& info, int signal) {
  return signal == SIGSEGV && (info.si_code == SEGV_PKUERR || is_protected_from_host(info.si_addr));
}

bool is_in_guard(const void* address) {
  return config().report_host_crash && !DeviceMemory::instance().describe_overrun(address).empty();
}

void handle_fault(int signal, siginfo_t* info, void* context) {
  auto& registers = *static_cast<ucontext_t*>(context);
  fault_address = info->si_addr;
  fault_code = instruction_in(registers);
  fault_signal = signal;
  if (!running_thread) {  // not a CUDA thread
    if (is_device_fault(*info, signal)) end_host_code(fault_code, false);
    if (signal == SIGSEGV && is_in_guard(fault_address)) end_host_code(fault_code, true);
    handle_host_fault(signal, *info, registers);
    return;
  }
  const auto top = reinterpret_cast<std::uintptr_t>(signal_stack().memory.get() + kStackBytes) & ~std::uintptr_t{15};
  return_into(registers, &fail_faulted_thread, top);
}

bool install_handler() {
  struct sigaction action {};
  action.sa_sigaction = &handle_fault;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  for (std::size_t i = 0; i < std::size(kSignals); ++i) sigaction(kSignals[i], &action, &previous_actions[i]);
  void* frame = nullptr;
  backtrace(&frame, 1);  // which loads a library in its first call, as a signal's handler must not
  return true;
}

// `free` of memory that is not its own ends the program. What it prints does not say where.
void handle_abort(int, siginfo_t*, void*) {
  end_soon();
  const CallSite site = own_call_site();
  if (!frees(site.callee) || !config().report_host_crash) return;
  config().report_host_crash(
      fmt::format("host code at {} frees memory that malloc or new did not give, or that was damaged", site.place));
}

}  // namespace

void watch_for_faults() {
  if (kAddressSanitizer) return;
  [[maybe_unused]] static const bool installed = install_handler();
  signal_stack();
}

void watch_for_host_crashes() {
  if (kAddressSanitizer) return;
  watch_for_faults();
  struct sigaction action {};
  action.sa_sigaction = &handle_abort;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  sigaction(SIGABRT, &action, nullptr);
}

#else

void watch_for_faults() {}
void watch_for_host_crashes() {}

#endif

}  // namespace gradamp::emulation
