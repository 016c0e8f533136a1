// SPDX-License-Identifier: MIT
// What a plain CUDA file sees, as `gradamp emulate` compiles it: CUDA's names without a namespace, shared memory and
// launches. A kernel that fails is reported on stderr, at once; then CUDA's functions return cudaErrorLaunchFailure,
// and the program ends with the exit code 1, whatever it returns.
#pragma once

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <tuple>
#include <type_traits>
#include <utility>

#include "gradamp/kernels/emulation/emulation.h"
#include "gradamp/kernels/emulation/guarded_pages.h"
#include "gradamp/kernels/emulation/plain/plain_intrinsics.h"
#include "gradamp/kernels/emulation/plain/plain_runtime.h"

// Variables of the device are the program's own.
#define __constant__
#define __managed__
#define __CUDACC__ 1

namespace gradamp::emulation {

/// Reports a mistake of the program on stderr. Its exit code is then 1.
void report_plain_failure(const char* what) noexcept;

/// Links plain.cpp, which configures the emulator, also into programs without a launch.
[[gnu::used]] inline void (*const report_of_plain_programs)(const char*) noexcept = &report_plain_failure;

/// Called with the result of each call of CUDA's runtime that the program ignores. If one failed and the program never
/// looks at the last error, that is reported when the program ends.
void note_unchecked_result(const char* function, emulated::cudaError_t error, const SourceLocation& location);

/// A statement `cudaFunction(...);` is translated to `unchecked("cudaFunction") = cudaFunction(...);`.
class UncheckedCall {
 public:
  UncheckedCall(const char* function, SourceLocation location) : function_(function), location_(location) {}
  void operator=(emulated::cudaError_t error) const { note_unchecked_result(function_, error, location_); }

 private:
  const char* function_;
  SourceLocation location_;
};

inline UncheckedCall unchecked(const char* function, SourceLocation location = SourceLocation::here()) {
  return {function, location};
}

// ---- __device__ and __constant__ variables ----

struct VariableBytes {
  const char *begin, *value, *end;  // begin and end: of its memory with guards
  std::size_t bytes;                // of the value
};

/// Protects the pages around a variable, and tells the race checker of it. `name` is for messages.
void guard_variable(const char* name, const VariableBytes& variable);

/// A variable of the device, which ends at a protected page as closely as its alignment permits.
template <typename T, std::size_t kAlignment = alignof(T)>
struct alignas(kPage) GuardedVariable {
  static constexpr std::size_t kSize = round_up(sizeof(T), kAlignment > alignof(T) ? kAlignment : alignof(T));
  static constexpr std::size_t kFirst = GuardedPages::kWideGuard + round_up(kSize, kPage) - kSize;

  char before[kFirst];
  T value;
  char after[GuardedPages::kWideGuard];
};

/// Guards it from now on.
class VariableGuard {
 public:
  template <typename T, std::size_t kAlignment>
  VariableGuard(const char* name, const GuardedVariable<T, kAlignment>& variable) {
    const auto* begin = reinterpret_cast<const char*>(&variable);
    guard_variable(name, {begin, begin + GuardedVariable<T, kAlignment>::kFirst, begin + sizeof variable, sizeof(T)});
  }
};

/// The number of elements of `T name[] = ...`.
template <typename T, std::size_t kCount>
std::integral_constant<std::size_t, kCount> extent_of(const T (&)[kCount]);

/// Returns whether a launch is refused, by CUDA's rules or because an earlier kernel failed. Reports the rule;
/// cudaGetLastError then returns the error.
bool refuse_plain_launch(const void* kernel, const GridShape& shape);

/// One launch: `plain(grid, block, shared_bytes, stream).launch(kernel)(arguments...)`.
class PlainLaunch {
 public:
  PlainLaunch(emulated::dim3 grid, emulated::dim3 block, std::size_t shared_bytes, Stream* stream,
              SourceLocation location)
      : shape_{grid, block, shared_bytes, location}, stream_(stream) {}

  template <typename... P>
  auto launch(void (*kernel)(P...)) const {
    // Before std::tuple is instantiated: after it, GCC 12 finds that a lambda is not trivially copyable.
    static_assert((std::is_trivially_copyable_v<P> && ...), "a kernel's arguments are copied to the device as bytes");
    return [shape = shape_, stream = stream_, kernel](P... arguments) {
      try {
        if (!refuse_plain_launch(reinterpret_cast<const void*>(kernel), shape))
          launch_kernel(kernel, shape, stream, std::tuple<P...>(arguments...));
      } catch (const std::exception& error) {
        report_plain_failure(error.what());
      }
    };
  }

  /// A function without state that calls a template of kernels, whose arguments it deduces.
  template <typename Function>
  requires std::is_empty_v<Function>
  auto launch(Function) const {
    return [*this]<typename... A>(A... arguments) {
      launch(+[](A... of_thread) { Function{}(of_thread...); })(arguments...);
    };
  }

  /// Calls choose(*this), a template whose body may ask which form of launch() a kernel allows.
  template <typename Choose>
  auto launch_either(Choose choose) const {
    return choose(*this);
  }

 private:
  GridShape shape_;
  Stream* stream_;
};

inline PlainLaunch plain(emulated::dim3 grid, emulated::dim3 block, std::size_t shared_bytes = 0,
                         Stream* stream = nullptr, SourceLocation location = SourceLocation::here()) {
  return {grid, block, shared_bytes, stream, location};
}

/// Dynamic shared memory that is declared outside of kernels: the running block's, as a pointer.
template <typename T>
struct DynamicSharedOfFile {
  operator T*() const { return static_cast<T*>(dynamic_shared()); }  // NOLINT: as an array
};

}  // namespace gradamp::emulation

namespace gradamp::emulated {

template <typename... P>
cudaError_t cudaLaunchKernel(void (*kernel)(P...), dim3 grid, dim3 block, void** arguments,
                             std::size_t shared_bytes = 0, cudaStream_t stream = nullptr,
                             emulation::SourceLocation location = emulation::SourceLocation::here()) {
  [&]<std::size_t... kIndex>(std::index_sequence<kIndex...>) {
    emulation::plain(grid, block, shared_bytes, stream, location)
        .launch(kernel)(*static_cast<std::remove_reference_t<P>*>(arguments[kIndex])...);
  }
  (std::index_sequence_for<P...>());
  return cudaPeekAtLastError();
}

}  // namespace gradamp::emulated

using namespace gradamp::emulated;  // NOLINT: as in CUDA, whose names are global

// The C library has functions of these names, too.
#define __expf(value) ::gradamp::emulated::__expf(value)
#define __exp10f(value) ::gradamp::emulated::__exp10f(value)
#define __logf(value) ::gradamp::emulated::__logf(value)
#define __log2f(value) ::gradamp::emulated::__log2f(value)
#define __log10f(value) ::gradamp::emulated::__log10f(value)
#define __sinf(value) ::gradamp::emulated::__sinf(value)
#define __cosf(value) ::gradamp::emulated::__cosf(value)
#define __tanf(value) ::gradamp::emulated::__tanf(value)
#define __powf(base, exponent) ::gradamp::emulated::__powf(base, exponent)
