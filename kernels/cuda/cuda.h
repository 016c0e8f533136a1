// SPDX-License-Identifier: MIT
// The only header through which kernel files (.cu) and the backend's host files (.cpp) include CUDA: NVIDIA's or, if
// GRADAMP_EMULATION is defined, the emulator's. All of their code is in namespace gradamp::GRADAMP_GPU, which differs
// between the two, so that one program can contain both.
//
// It adds what NVIDIA and the emulator write differently: shared memory, launches and vector accesses.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>

#if defined(GRADAMP_EMULATION)

#include "gradamp/kernels/emulation/emulation.h"

#define GRADAMP_GPU emulated

#else

#include <cuda_bf16.h>
#include <cuda_runtime.h>

#define GRADAMP_GPU cuda

/// Static shared memory: `SHARED(tile, float[32][33]);`. Aligned to at least 16 bytes, never initialized.
#define SHARED(name, ...) __shared__ __align__(16) std::type_identity_t<__VA_ARGS__> name

/// The launch's dynamic shared memory as a `T*`, aligned to 128 bytes: `DYNAMIC_SHARED(float, stages);`.
#define DYNAMIC_SHARED(T, name)                                            \
  extern __shared__ __align__(128) unsigned char gradamp_dynamic_shared[]; \
  T* const name = reinterpret_cast<T*>(gradamp_dynamic_shared)

/// The same aligned to 1024 bytes, after which a swizzle of 128 bytes repeats.
#define DYNAMIC_SHARED_1024(T, name)                                             \
  extern __shared__ __align__(1024) unsigned char gradamp_dynamic_shared_1024[]; \
  T* const name = reinterpret_cast<T*>(gradamp_dynamic_shared_1024)

#endif

namespace gradamp::GRADAMP_GPU {

using bf16 = __nv_bfloat16;

/// Throws Error: the call `what` at file:line returned `error`. Defined in a host file: nvcc cannot compile fmt.
[[noreturn]] void fail_cuda(cudaError_t error, const char* what, const char* file, int line);

/// `check_cuda(cudaStreamSynchronize(stream), "cudaStreamSynchronize");`
inline void check_cuda(cudaError_t result, const char* call, const char* file = __builtin_FILE(),
                       int line = __builtin_LINE()) {
  if (result != cudaSuccess) [[unlikely]]
    fail_cuda(result, call, file, line);
}

/// The launch configuration, and the source location of the launch:
/// `launch(kernel, {blocks, threads, shared_bytes, stream}, first_argument, second_argument);`
struct Launch {
  dim3 grid, block;
  std::size_t shared_bytes;
  cudaStream_t stream;
  const char* file;
  int line;

  Launch(dim3 grid_blocks, dim3 block_threads, std::size_t dynamic_shared_bytes = 0, cudaStream_t on_stream = nullptr,
         const char* in_file = __builtin_FILE(), int in_line = __builtin_LINE())
      : grid(grid_blocks),
        block(block_threads),
        shared_bytes(dynamic_shared_bytes),
        stream(on_stream),
        file(in_file),
        line(in_line) {}
};

/// Requests the dynamic shared memory of this launch, once per kernel. Without the request a kernel has 48 KiB, but its
/// static shared memory counts too, and only the compiler knows its size.
inline void allow_shared_bytes(const void* kernel, const Launch& shape) {
  static std::mutex mutex;
  static std::map<std::pair<int, const void*>, std::size_t> allowed;  // per device
  int device = 0;
  check_cuda(cudaGetDevice(&device), "cudaGetDevice", shape.file, shape.line);
  const std::lock_guard lock(mutex);
  std::size_t& bytes = allowed[{device, kernel}];
  if (bytes >= shape.shared_bytes) return;
  const cudaError_t result =
      cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(shape.shared_bytes));
  if (result != cudaSuccess) {
    const std::string bytes_asked = std::to_string(shape.shared_bytes) + " bytes of dynamic shared memory";
    fail_cuda(result, ("cudaFuncSetAttribute to " + bytes_asked).c_str(), shape.file, shape.line);
  }
  bytes = shape.shared_bytes;
}

/// The only way to launch a kernel. Error if it cannot be launched.
template <typename... P, typename... A>
void launch(void (*kernel)(P...), const Launch& shape, A&&... arguments) {
  if (shape.shared_bytes > 0) allow_shared_bytes(reinterpret_cast<const void*>(kernel), shape);
#if defined(GRADAMP_EMULATION)
  emulation::launch_kernel(kernel, {shape.grid, shape.block, shape.shared_bytes, {shape.file, shape.line}},
                           shape.stream, std::tuple<P...>(static_cast<P>(std::forward<A>(arguments))...));
#else
  cudaLaunchConfig_t config{};
  config.gridDim = shape.grid;
  config.blockDim = shape.block;
  config.dynamicSmemBytes = shape.shared_bytes;
  config.stream = shape.stream;
  check_cuda(cudaLaunchKernelEx(&config, kernel, static_cast<P>(std::forward<A>(arguments))...), "kernel launch",
             shape.file, shape.line);
#endif
}

// ---- Accesses of 4, 8 and 16 bytes, aligned to their size ----

#if defined(GRADAMP_EMULATION)

// (The emulator's __ldg and __stcs accept any memory; CUDA's do not accept shared memory.)
template <typename V>
[[gnu::always_inline]] inline V load_vector(const void* address,
                                            emulation::SourceLocation location = emulation::SourceLocation::here()) {
  return __ldg(static_cast<const V*>(address), location);
}
template <typename V>
[[gnu::always_inline]] inline void store_vector(
    void* address, const V& value, emulation::SourceLocation location = emulation::SourceLocation::here()) {
  __stcs(static_cast<V*>(address), value, location);
}
/// For values that are used once: the caches evict them first.
template <typename V>
[[gnu::always_inline]] inline V load_vector_streaming(
    const void* address, emulation::SourceLocation location = emulation::SourceLocation::here()) {
  return load_vector<V>(address, location);
}
template <typename V>
[[gnu::always_inline]] inline void store_vector_streaming(
    void* address, const V& value, emulation::SourceLocation location = emulation::SourceLocation::here()) {
  store_vector(address, value, location);
}

#elif defined(__CUDACC__)

/// The unsigned type of the same size, whose loads and stores exist with every cache hint.
template <typename V>
using WordsOf =
    std::conditional_t<sizeof(V) == 16, uint4, typename std::conditional<sizeof(V) == 8, uint2, unsigned>::type>;

template <typename V>
__device__ __forceinline__ V load_vector(const void* address) {
  return *static_cast<const V*>(address);
}
template <typename V>
__device__ __forceinline__ void store_vector(void* address, const V& value) {
  *static_cast<V*>(address) = value;
}
template <typename V>
__device__ __forceinline__ V load_vector_streaming(const void* address) {
  static_assert(sizeof(V) == sizeof(WordsOf<V>));
  const WordsOf<V> words = __ldcs(static_cast<const WordsOf<V>*>(address));
  V value;
  memcpy(&value, &words, sizeof value);
  return value;
}
template <typename V>
__device__ __forceinline__ void store_vector_streaming(void* address, const V& value) {
  static_assert(sizeof(V) == sizeof(WordsOf<V>));
  WordsOf<V> words;
  memcpy(&words, &value, sizeof words);
  __stcs(static_cast<WordsOf<V>*>(address), words);
}

#endif

}  // namespace gradamp::GRADAMP_GPU
