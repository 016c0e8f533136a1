// SPDX-License-Identifier: MIT
// Errors, the device and its memory.
#include "kernels/emulation/runtime.h"

#include <cstdio>
#include <cstring>
#include <utility>

#include "kernels/emulation/block_runner.h"
#include "kernels/emulation/config.h"
#include "kernels/emulation/device_memory.h"
#include "kernels/emulation/runtime_state.h"

namespace gradamp::emulation {
namespace {

constinit thread_local emulated::cudaError_t last_error = emulated::cudaSuccess;

}  // namespace

emulated::cudaError_t returned(emulated::cudaError_t error) {
  if (error != emulated::cudaSuccess) last_error = error;
  return error;
}

}  // namespace gradamp::emulation

namespace gradamp::emulated {

using emulation::DeviceMemory;
using emulation::MemoryKind;
using emulation::returned;
using emulation::RuntimeState;

namespace {

struct ErrorText {
  cudaError_t error;
  const char *name, *text;
};

constexpr ErrorText kErrorTexts[] = {
    {cudaSuccess, "cudaSuccess", "no error"},
    {cudaErrorInvalidValue, "cudaErrorInvalidValue", "invalid argument"},
    {cudaErrorMemoryAllocation, "cudaErrorMemoryAllocation", "out of memory"},
    {cudaErrorInvalidMemcpyDirection, "cudaErrorInvalidMemcpyDirection", "invalid copy direction for memcpy"},
    {cudaErrorInsufficientDriver, "cudaErrorInsufficientDriver",
     "CUDA driver version is insufficient for CUDA runtime version"},
    {cudaErrorNoDevice, "cudaErrorNoDevice", "no CUDA-capable device is detected"},
    {cudaErrorInvalidDevice, "cudaErrorInvalidDevice", "invalid device ordinal"},
    {cudaErrorNoKernelImageForDevice, "cudaErrorNoKernelImageForDevice",
     "no kernel image is available for execution on the device"},
    {cudaErrorUnsupportedPtxVersion, "cudaErrorUnsupportedPtxVersion",
     "the provided PTX was compiled with an unsupported toolchain."},
    {cudaErrorInvalidResourceHandle, "cudaErrorInvalidResourceHandle", "invalid resource handle"},
    {cudaErrorNotReady, "cudaErrorNotReady", "device not ready"},
    {cudaErrorIllegalAddress, "cudaErrorIllegalAddress", "an illegal memory access was encountered"},
    {cudaErrorLaunchTimeout, "cudaErrorLaunchTimeout", "the launch timed out and was terminated"},
    {cudaErrorAssert, "cudaErrorAssert", "device-side assert triggered"},
    {cudaErrorHardwareStackError, "cudaErrorHardwareStackError", "hardware stack error"},
    {cudaErrorIllegalInstruction, "cudaErrorIllegalInstruction", "an illegal instruction was encountered"},
    {cudaErrorMisalignedAddress, "cudaErrorMisalignedAddress", "misaligned address"},
    {cudaErrorInvalidAddressSpace, "cudaErrorInvalidAddressSpace",
     "operation not supported on global/shared address space"},
    {cudaErrorInvalidPc, "cudaErrorInvalidPc", "invalid program counter"},
    {cudaErrorLaunchFailure, "cudaErrorLaunchFailure", "unspecified launch failure"},
    {cudaErrorStreamCaptureUnsupported, "cudaErrorStreamCaptureUnsupported",
     "operation not permitted when stream is capturing"},
    {cudaErrorStreamCaptureInvalidated, "cudaErrorStreamCaptureInvalidated",
     "operation failed due to a previous error during capture"},
    {cudaErrorStreamCaptureUnmatched, "cudaErrorStreamCaptureUnmatched",
     "capture was not ended in the same stream as it began"},
    {cudaErrorStreamCaptureIsolation, "cudaErrorStreamCaptureIsolation",
     "dependency created on uncaptured work in another stream"},
    {cudaErrorCapturedEvent, "cudaErrorCapturedEvent",
     "operation not permitted on an event last recorded in a capturing "
     "stream"},
    {cudaErrorUnknown, "cudaErrorUnknown", "unknown error"},
};

const ErrorText& text_of(cudaError_t error) {
  for (const ErrorText& text : kErrorTexts)
    if (text.error == error) return text;
  return kErrorTexts[std::size(kErrorTexts) - 1];
}

constexpr int kVersion = 13000;
constexpr int kMultiprocessors = 4;

constexpr std::pair<cudaDeviceAttr, int> kAttributes[] = {
    {cudaDevAttrMaxThreadsPerBlock, emulation::kMaxThreads},
    {cudaDevAttrMaxSharedMemoryPerBlock, emulation::kMaxStaticShared},
    {cudaDevAttrWarpSize, emulation::kWarpSize},
    {cudaDevAttrMultiProcessorCount, kMultiprocessors},
    {cudaDevAttrL2CacheSize, 32 << 20},
    {cudaDevAttrMaxThreadsPerMultiProcessor, 2048},
    {cudaDevAttrComputeCapabilityMajor, 9},
    {cudaDevAttrComputeCapabilityMinor, 0},
    {cudaDevAttrMaxSharedMemoryPerMultiprocessor, 228 << 10},
    {cudaDevAttrMaxSharedMemoryPerBlockOptin, emulation::kMaxShared},
};

int attribute(cudaDeviceAttr wanted) {
  for (const auto& [name, value] : kAttributes)
    if (name == wanted) return value;
  return 0;
}

}  // namespace

const char* cudaGetErrorName(cudaError_t error) { return text_of(error).name; }
const char* cudaGetErrorString(cudaError_t error) { return text_of(error).text; }
cudaError_t cudaGetLastError() { return std::exchange(emulation::last_error, cudaSuccess); }
cudaError_t cudaPeekAtLastError() { return emulation::last_error; }

cudaError_t cudaGetDeviceCount(int* count) {
  *count = 1;
  return cudaSuccess;
}

cudaError_t cudaSetDevice(int device) { return returned(device == 0 ? cudaSuccess : cudaErrorInvalidDevice); }

cudaError_t cudaGetDevice(int* device) {
  *device = 0;
  return cudaSuccess;
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
  if (device != 0) return returned(cudaErrorInvalidDevice);
  *properties = {};
  std::snprintf(properties->name, sizeof properties->name, "CUDA emulator");
  properties->totalGlobalMem = emulation::config().memory_limit;
  properties->sharedMemPerBlock = emulation::kMaxStaticShared;
  properties->sharedMemPerBlockOptin = emulation::kMaxShared;
  properties->sharedMemPerMultiprocessor =
      static_cast<std::size_t>(attribute(cudaDevAttrMaxSharedMemoryPerMultiprocessor));
  properties->major = attribute(cudaDevAttrComputeCapabilityMajor);
  properties->minor = attribute(cudaDevAttrComputeCapabilityMinor);
  properties->multiProcessorCount = kMultiprocessors;
  properties->warpSize = emulation::kWarpSize;
  properties->maxThreadsPerBlock = emulation::kMaxThreads;
  properties->maxThreadsPerMultiProcessor = attribute(cudaDevAttrMaxThreadsPerMultiProcessor);
  properties->l2CacheSize = attribute(cudaDevAttrL2CacheSize);
  return cudaSuccess;
}

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr wanted, int device) {
  if (device != 0) return returned(cudaErrorInvalidDevice);
  for (const auto& [name, known] : kAttributes) {
    if (name != wanted) continue;
    *value = known;
    return cudaSuccess;
  }
  return returned(cudaErrorInvalidValue);
}

cudaError_t cudaRuntimeGetVersion(int* version) {
  *version = kVersion;
  return cudaSuccess;
}

cudaError_t cudaDriverGetVersion(int* version) { return cudaRuntimeGetVersion(version); }

// ---- memory ----

namespace {

cudaError_t allocate(void** memory, std::size_t bytes, MemoryKind kind) {
  RuntimeState& state = RuntimeState::instance();
  const std::lock_guard lock(state.mutex);
  *memory = nullptr;
  if (!state.allowed_beside_captures()) return returned(cudaErrorStreamCaptureUnsupported);
  if (bytes == 0) return cudaSuccess;
  *memory = DeviceMemory::instance().allocate(bytes, kind);
  return returned(*memory ? cudaSuccess : cudaErrorMemoryAllocation);
}

// Waits for the device first, as CUDA does: queued work may still use the memory.
cudaError_t free(void* memory, MemoryKind kind) {
  if (!memory) return cudaSuccess;
  RuntimeState& state = RuntimeState::instance();
  const std::lock_guard lock(state.mutex);
  if (!state.allowed_beside_captures()) return returned(cudaErrorStreamCaptureUnsupported);
  state.run_all();
  return returned(DeviceMemory::instance().release(memory, kind) ? cudaSuccess : cudaErrorInvalidValue);
}

bool on_device(const void* memory, std::size_t bytes) {
  return DeviceMemory::instance().contains(memory, bytes, MemoryKind::kDevice);
}

bool pinned(const void* memory, std::size_t bytes) {
  return DeviceMemory::instance().contains(memory, bytes, MemoryKind::kPinned);
}

cudaMemcpyKind kind_of(bool to_device, bool from_device) {
  if (to_device) return from_device ? cudaMemcpyDeviceToDevice : cudaMemcpyHostToDevice;
  return from_device ? cudaMemcpyDeviceToHost : cudaMemcpyHostToHost;
}

}  // namespace

cudaError_t cudaMalloc(void** memory, std::size_t bytes) { return allocate(memory, bytes, MemoryKind::kDevice); }
cudaError_t cudaFree(void* memory) { return free(memory, MemoryKind::kDevice); }
cudaError_t cudaMallocHost(void** memory, std::size_t bytes) { return allocate(memory, bytes, MemoryKind::kPinned); }
cudaError_t cudaFreeHost(void* memory) { return free(memory, MemoryKind::kPinned); }

cudaError_t cudaMemGetInfo(std::size_t* free_bytes, std::size_t* total_bytes) {
  *free_bytes = DeviceMemory::instance().free_bytes();
  *total_bytes = emulation::config().memory_limit;
  return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void* target, const void* source, std::size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t handle) {
  if (bytes == 0) return cudaSuccess;
  RuntimeState& state = RuntimeState::instance();
  const std::lock_guard lock(state.mutex);
  const bool to_device = on_device(target, bytes), from_device = on_device(source, bytes);
  if (kind != cudaMemcpyDefault && kind != kind_of(to_device, from_device)) return returned(cudaErrorInvalidValue);
  const bool from_pageable = !from_device && !pinned(source, bytes);
  const bool to_pageable = !to_device && !pinned(target, bytes);
  emulation::Stream& stream = state.stream(handle);
  if (stream.capture && (from_pageable || to_pageable)) {
    stream.capture->invalidated = true;
    return returned(cudaErrorStreamCaptureUnsupported);
  }
  if (stream.capture && stream.capture->invalidated) return returned(cudaErrorStreamCaptureInvalidated);
  if (from_pageable) {
    const auto* first = static_cast<const char*>(source);
    emulation::enqueue(handle, [target, staged = std::vector<char>(first, first + bytes)] {
      std::memcpy(target, staged.data(), staged.size());
    });
  } else {
    emulation::enqueue(handle, [target, source, bytes] { std::memcpy(target, source, bytes); });
  }
  if (to_pageable) stream.run_all();
  return cudaSuccess;
}

cudaError_t cudaMemcpy(void* target, const void* source, std::size_t bytes, cudaMemcpyKind kind) {
  const cudaError_t error = cudaMemcpyAsync(target, source, bytes, kind);
  return error == cudaSuccess ? cudaStreamSynchronize(nullptr) : error;
}

cudaError_t cudaMemsetAsync(void* target, int byte, std::size_t bytes, cudaStream_t handle) {
  if (bytes == 0) return cudaSuccess;
  RuntimeState& state = RuntimeState::instance();
  const std::lock_guard lock(state.mutex);
  if (!on_device(target, bytes)) return returned(cudaErrorInvalidValue);
  const emulation::Stream& stream = state.stream(handle);
  if (stream.capture && stream.capture->invalidated) return returned(cudaErrorStreamCaptureInvalidated);
  emulation::enqueue(handle, [target, byte, bytes] { std::memset(target, byte, bytes); });
  return cudaSuccess;
}

cudaError_t cudaMemset(void* target, int byte, std::size_t bytes) {
  const cudaError_t error = cudaMemsetAsync(target, byte, bytes);
  return error == cudaSuccess ? cudaStreamSynchronize(nullptr) : error;
}

}  // namespace gradamp::emulated
