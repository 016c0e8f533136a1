// SPDX-License-Identifier: MIT
#include "gradamp/kernels/emulation/plain/plain.h"

#include <sys/mman.h>

#include <algorithm>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "gradamp/kernels/emulation/access_observer.h"

#include "gradamp/kernels/emulation/block_runner.h"
#include "gradamp/kernels/emulation/device_memory.h"
#include "gradamp/kernels/emulation/fault_handler.h"
#include "gradamp/kernels/emulation/plain/findings.h"
#include "gradamp/kernels/emulation/runtime_state.h"

namespace gradamp::emulation {
namespace {

constexpr std::size_t kSharedPerMultiprocessor = 228 << 10;
constexpr std::size_t kSharedOfSystem = 1 << 10;  // per block
constexpr int kThreadsPerMultiprocessor = 2048, kBlocksPerMultiprocessor = 32;

/// A call that failed, at a line that ignores what it returned.
struct UncheckedFailure {
  std::string what;
  int looks;  // at errors, before it
};

std::vector<UncheckedFailure>& unchecked_failures() {
  static auto* failures = new std::vector<UncheckedFailure>;  // used until the program ends
  return *failures;
}

/// Those after which the program never looked at the last error.
void report_unchecked_failures() {
  for (const UncheckedFailure& failure : unchecked_failures())
    if (failure.looks == looks_at_errors()) report_finding(failure.what);
  unchecked_failures().clear();
}

/// An exception that nothing catches, as of a graph's kernel.
[[noreturn]] void end_after_exception() {
  try {
    if (const std::exception_ptr exception = std::current_exception()) std::rethrow_exception(exception);
  } catch (const std::exception& error) {
    report_finding(error.what());
    std::exit(1);
  } catch (...) {
  }
  std::abort();
}

[[noreturn]] void refuse_environment(const char* name, const char* expected, const char* got) {
  std::fprintf(stderr, "gradamp emulate: %s: expected %s, got '%s'\n", name, expected, got);
  std::_Exit(1);
}

std::uint64_t number_of(const char* name, std::uint64_t otherwise) {
  const char* text = std::getenv(name);
  if (text == nullptr || *text == '\0') return otherwise;
  char* end = nullptr;
  const std::uint64_t number = std::strtoull(text, &end, 10);
  if (*end != '\0' || *text == '-') refuse_environment(name, "a whole number", text);
  return number;
}

/// Runs before main.
bool configure() {
  Config& own = config();
  own.protect_without_keys = true;
  own.check_initialized = true;
  own.report_misuse = [](const std::string& what) { report_finding(what); };
  own.report_host_crash = [](const std::string& what) {
    report_unchecked_failures();
    report_finding(what);
    std::fflush(nullptr);
  };
  watch_for_host_crashes();
  const char* order = std::getenv("GRADAMP_EMULATION_ORDER");
  const std::string name = order != nullptr && *order != '\0' ? order : "forward";
  if (name == "reverse")
    own.thread_order = ThreadOrder::kReverse;
  else if (name == "shuffled")
    own.thread_order = ThreadOrder::kShuffled;
  else if (name != "forward")
    refuse_environment("GRADAMP_EMULATION_ORDER", "forward, reverse or shuffled", order);
  own.seed = number_of("GRADAMP_EMULATION_SEED", own.seed);
  own.os_threads = static_cast<int>(number_of("GRADAMP_EMULATION_THREADS", 0));
  std::set_terminate(&end_after_exception);
  std::atexit(&report_unchecked_failures);
  return true;
}

const bool configured = configure();

}  // namespace

void report_plain_failure(const char* what) noexcept { report_finding(what); }

void note_unchecked_result(const char* function, emulated::cudaError_t error, const SourceLocation& location) {
  if (error == emulated::cudaSuccess || error == emulated::cudaErrorNotReady) return;
  if (RuntimeState::instance().unusable() == emulated::cudaErrorLaunchFailure) return;  // it was reported why
  constexpr std::size_t kMax = 1000;
  if (unchecked_failures().size() == kMax) return;
  const std::string why = why_refused();
  unchecked_failures().push_back(
      {fmt::format("{} at {} failed: {} ({}){}{}; the program did not check its result", function, to_string(location),
                   cudaGetErrorName(error), cudaGetErrorString(error), why.empty() ? "" : ": ", why),
       looks_at_errors()});
}

emulated::cudaError_t returned_by_plain(emulated::cudaError_t error, const char* why) { return returned(error, why); }

void guard_variable(const char* name, const VariableBytes& variable) {
  const auto page_of = [](const char* byte) { return byte - reinterpret_cast<std::uintptr_t>(byte) % kPage; };
  char* const first = const_cast<char*>(page_of(variable.value));
  char* const end = const_cast<char*>(page_of(variable.value + variable.bytes + kPage - 1));
  mprotect(const_cast<char*>(variable.begin), static_cast<std::size_t>(first - variable.begin), PROT_NONE);
  mprotect(end, static_cast<std::size_t>(variable.end - end), PROT_NONE);
  DeviceMemory::instance().add_guarded_variable(name, variable.value, variable.bytes, variable.begin, variable.end);
  if (access_observer) access_observer->allocated(variable.value, variable.bytes, false);
}

bool refuse_plain_launch(const void* kernel, const GridShape& shape) {
  if (RuntimeState::instance().unusable() == emulated::cudaErrorLaunchFailure) return true;  // and it was reported why
  const LaunchShape launch{shape.grid, shape.block, shape.dynamic_shared_bytes};
  const auto refused = refusal(config().limits, facts_of(kernel), launch);
  if (!refused) return false;
  report_plain_failure(fmt::format("kernel launched at {}: {}", to_string(shape.location), refused->reason).c_str());
  returned(refused->error);
  return true;
}

int resident_blocks(const void* kernel, int threads, std::size_t dynamic_shared) {
  if (threads < 1 || threads > static_cast<int>(config().limits.max_threads)) return 0;
  const std::size_t shared = facts_of(kernel).static_shared + dynamic_shared;
  const int warps = (threads + static_cast<int>(kWarpSize) - 1) / static_cast<int>(kWarpSize);
  const int by_threads = kThreadsPerMultiprocessor / (warps * static_cast<int>(kWarpSize));
  const int by_memory = static_cast<int>(kSharedPerMultiprocessor / (shared + kSharedOfSystem));
  return std::min({by_threads, by_memory, kBlocksPerMultiprocessor});
}

void add_device_variable(const void* variable, std::size_t bytes) {
  DeviceMemory::instance().add_variable(variable, bytes);
}

}  // namespace gradamp::emulation

namespace gradamp::emulated {

cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* attributes, const void* memory) {
  const emulation::DeviceMemory& device = emulation::DeviceMemory::instance();
  auto* const address = const_cast<void*>(memory);
  *attributes = {cudaMemoryTypeUnregistered, 0, nullptr, address};
  if (device.contains(memory, 0, emulation::MemoryKind::kDevice))
    *attributes = {cudaMemoryTypeDevice, 0, address, nullptr};
  else if (device.contains(memory, 0, emulation::MemoryKind::kManaged))
    *attributes = {cudaMemoryTypeManaged, 0, address, address};
  else if (device.contains(memory, 0, emulation::MemoryKind::kPinned))
    *attributes = {cudaMemoryTypeHost, 0, address, address};
  return cudaSuccess;
}

}  // namespace gradamp::emulated

/// What assert calls, instead of the C library's function: a failed assertion of a kernel is the thread's failure.
extern "C" [[noreturn]] void __assert_fail(const char* expression, const char* file, unsigned line,
                                           const char* function) noexcept {
  using gradamp::emulation::running_thread;
  if (running_thread != nullptr)
    gradamp::emulation::fail_thread([&] {
      const gradamp::emulation::SourceLocation location{file, static_cast<int>(line)};
      return fmt::format("assert({}) failed at {}", expression, gradamp::emulation::to_string(location));
    });
  std::fflush(stdout);
  std::fprintf(stderr, "%s:%u: %s: Assertion `%s' failed.\n", file, line, function, expression);
  std::abort();
}
