// SPDX-License-Identifier: MIT
// Functions of CUDA's runtime that plain files use and the engine does not. Those that only advise the device do
// nothing.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <type_traits>

#include "gradamp/kernels/emulation/emulation.h"

namespace gradamp::emulation {

/// The number of blocks that a multiprocessor has room for, by threads and shared memory; registers are not known.
int resident_blocks(const void* kernel, int threads, std::size_t dynamic_shared);

/// Stores `error` for cudaGetLastError and returns it. `why`: for messages.
emulated::cudaError_t returned_by_plain(emulated::cudaError_t error, const char* why);

/// Marks a variable of the program as device memory.
void add_device_variable(const void* variable, std::size_t bytes);

}  // namespace gradamp::emulation

namespace gradamp::emulated {

// ---- __device__ and __constant__ variables ----

template <typename T>
cudaError_t cudaMemcpyToSymbol(T& symbol, const void* source, std::size_t bytes, std::size_t offset = 0,
                               cudaMemcpyKind kind = cudaMemcpyHostToDevice) {
  if (offset + bytes > sizeof symbol)
    return emulation::returned_by_plain(cudaErrorInvalidValue, "the copy has more bytes than the symbol");
  emulation::add_device_variable(&symbol, sizeof symbol);
  return cudaMemcpy(reinterpret_cast<char*>(const_cast<std::remove_const_t<T>*>(&symbol)) + offset, source, bytes,
                    kind);
}
template <typename T>
cudaError_t cudaMemcpyFromSymbol(void* target, const T& symbol, std::size_t bytes, std::size_t offset = 0,
                                 cudaMemcpyKind kind = cudaMemcpyDeviceToHost) {
  if (offset + bytes > sizeof symbol)
    return emulation::returned_by_plain(cudaErrorInvalidValue, "the copy has more bytes than the symbol");
  emulation::add_device_variable(&symbol, sizeof symbol);
  return cudaMemcpy(target, reinterpret_cast<const char*>(&symbol) + offset, bytes, kind);
}
template <typename P, typename T>
cudaError_t cudaGetSymbolAddress(P** address, const T& symbol) {
  emulation::add_device_variable(&symbol, sizeof symbol);
  *address = reinterpret_cast<P*>(const_cast<T*>(&symbol));
  return cudaSuccess;
}
template <typename T>
cudaError_t cudaGetSymbolSize(std::size_t* bytes, const T& symbol) {
  *bytes = sizeof symbol;
  return cudaSuccess;
}

// ---- occupancy ----

template <typename... P>
cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, void (*kernel)(P...), int threads,
                                                          std::size_t dynamic_shared) {
  *blocks = emulation::resident_blocks(reinterpret_cast<const void*>(kernel), threads, dynamic_shared);
  return cudaSuccess;
}
template <typename... P>
cudaError_t cudaOccupancyMaxPotentialBlockSize(int* min_grid, int* block, void (*kernel)(P...),
                                               std::size_t dynamic_shared = 0, int limit = 0) {
  cudaFuncAttributes attributes{};
  const cudaError_t error = cudaFuncGetAttributes(&attributes, reinterpret_cast<const void*>(kernel));
  if (error != cudaSuccess) return error;
  *block = limit > 0 ? std::min(limit, attributes.maxThreadsPerBlock) : attributes.maxThreadsPerBlock;
  int multiprocessors = 0;
  cudaDeviceGetAttribute(&multiprocessors, cudaDevAttrMultiProcessorCount, 0);
  *min_grid =
      multiprocessors * emulation::resident_blocks(reinterpret_cast<const void*>(kernel), *block, dynamic_shared);
  return cudaSuccess;
}

// ---- kernels' attributes, by the kernel itself ----

template <typename... P>
cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* attributes, void (*kernel)(P...)) {
  return cudaFuncGetAttributes(attributes, reinterpret_cast<const void*>(kernel));
}
template <typename... P>
cudaError_t cudaFuncSetAttribute(void (*kernel)(P...), cudaFuncAttribute attribute, int value) {
  return cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel), attribute, value);
}

// ---- the device ----

inline cudaError_t cudaDeviceReset() { return cudaDeviceSynchronize(); }
inline cudaError_t cudaThreadSynchronize() { return cudaDeviceSynchronize(); }

enum cudaFuncCache {
  cudaFuncCachePreferNone,
  cudaFuncCachePreferShared,
  cudaFuncCachePreferL1,
  cudaFuncCachePreferEqual
};
inline cudaError_t cudaDeviceSetCacheConfig(cudaFuncCache) { return cudaSuccess; }
template <typename... P>
cudaError_t cudaFuncSetCacheConfig(void (*)(P...), cudaFuncCache) {
  return cudaSuccess;
}

enum cudaLimit { cudaLimitStackSize, cudaLimitPrintfFifoSize, cudaLimitMallocHeapSize };
inline cudaError_t cudaDeviceSetLimit(cudaLimit, std::size_t) { return cudaSuccess; }
inline cudaError_t cudaProfilerStart() { return cudaSuccess; }
inline cudaError_t cudaProfilerStop() { return cudaSuccess; }

// ---- memory ----

enum cudaMemoryAdvise {
  cudaMemAdviseSetReadMostly = 1,
  cudaMemAdviseUnsetReadMostly,
  cudaMemAdviseSetPreferredLocation,
  cudaMemAdviseUnsetPreferredLocation,
  cudaMemAdviseSetAccessedBy,
  cudaMemAdviseUnsetAccessedBy
};
inline cudaError_t cudaMemAdvise(const void*, std::size_t, cudaMemoryAdvise, int) { return cudaSuccess; }

enum cudaMemoryType {
  cudaMemoryTypeUnregistered = 0,
  cudaMemoryTypeHost = 1,
  cudaMemoryTypeDevice = 2,
  cudaMemoryTypeManaged = 3
};
struct cudaPointerAttributes {
  cudaMemoryType type;
  int device;
  void *devicePointer, *hostPointer;
};
cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* attributes, const void* memory);

/// Managed memory is always where it is needed.
inline cudaError_t cudaMemPrefetchAsync(const void*, std::size_t, int, cudaStream_t = nullptr) { return cudaSuccess; }
inline constexpr int cudaCpuDeviceId = -1;

/// Pinned memory has the same address on the device.
template <typename T>
cudaError_t cudaHostGetDevicePointer(T** device, void* host, unsigned) {
  *device = static_cast<T*>(host);
  return cudaSuccess;
}
inline cudaError_t cudaMemset2D(void* target, std::size_t pitch, int byte, std::size_t width, std::size_t height) {
  if (width > pitch) return emulation::returned_by_plain(cudaErrorInvalidValue, "a row is wider than its pitch");
  for (std::size_t row = 0; row < height; ++row) {
    const cudaError_t error = cudaMemset(static_cast<char*>(target) + row * pitch, byte, width);
    if (error != cudaSuccess) return error;
  }
  return cudaSuccess;
}
inline cudaError_t cudaMemcpy2DAsync(void* target, std::size_t target_pitch, const void* source,
                                     std::size_t source_pitch, std::size_t width, std::size_t height,
                                     cudaMemcpyKind kind, cudaStream_t stream = nullptr) {
  if (width > target_pitch || width > source_pitch)
    return emulation::returned_by_plain(cudaErrorInvalidValue, "a row is wider than its pitch");
  for (std::size_t row = 0; row < height; ++row) {
    const cudaError_t error =
        cudaMemcpyAsync(static_cast<char*>(target) + row * target_pitch,
                        static_cast<const char*>(source) + row * source_pitch, width, kind, stream);
    if (error != cudaSuccess) return error;
  }
  return cudaSuccess;
}

// ---- streams ----

using cudaStreamCallback_t = void (*)(cudaStream_t, cudaError_t, void*);
inline cudaError_t cudaStreamAddCallback(cudaStream_t stream, cudaStreamCallback_t function, void* data, unsigned) {
  emulation::enqueue(stream, [stream, function, data] { function(stream, cudaSuccess, data); });
  return cudaSuccess;
}
#define CUDART_CB  // a calling convention of Windows
using cudaHostFn_t = void(CUDART_CB*)(void*);
inline cudaError_t cudaLaunchHostFunc(cudaStream_t stream, cudaHostFn_t function, void* data) {
  emulation::enqueue(stream, [function, data] { function(data); });
  return cudaSuccess;
}

inline cudaError_t cudaStreamCreateWithPriority(cudaStream_t* stream, unsigned flags, int) {
  return cudaStreamCreateWithFlags(stream, flags);
}
inline cudaError_t cudaDeviceGetStreamPriorityRange(int* least, int* greatest) {
  *least = *greatest = 0;
  return cudaSuccess;
}

}  // namespace gradamp::emulated
