// SPDX-License-Identifier: MIT
// Errors, the device and its memory.
#include "gradamp/kernels/emulation/runtime.h"

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstring>
#include <optional>
#include <utility>

#include <fmt/format.h>

#include "gradamp/kernels/emulation/access_observer.h"
#include "gradamp/kernels/emulation/block_runner.h"
#include "gradamp/kernels/emulation/config.h"
#include "gradamp/kernels/emulation/device_memory.h"
#include "gradamp/kernels/emulation/kernel_table.h"
#include "gradamp/kernels/emulation/runtime_state.h"
#include "gradamp/kernels/emulation/symbolizer.h"

namespace gradamp::emulation {
namespace {

constinit thread_local emulated::cudaError_t last_error = emulated::cudaSuccess;
thread_local std::string why_last_refused;
std::atomic<int> looks = 0;

}  // namespace

emulated::cudaError_t returned(emulated::cudaError_t error, std::string why) {
  if (error == emulated::cudaSuccess) return error;
  last_error = error;
  why_last_refused = std::move(why);
  return error;
}

std::string why_refused() { return why_last_refused; }
int looks_at_errors() { return looks; }

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
    {cudaErrorInitializationError, "cudaErrorInitializationError", "initialization error"},
    {cudaErrorInvalidConfiguration, "cudaErrorInvalidConfiguration", "invalid configuration argument"},
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
    {cudaErrorLaunchOutOfResources, "cudaErrorLaunchOutOfResources", "too many resources requested for launch"},
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
    {cudaErrorStreamCaptureImplicit, "cudaErrorStreamCaptureImplicit",
     "operation would make the legacy stream depend on a capturing blocking stream"},
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

constexpr int kMajor = 9, kMinor = 0;
constexpr int kThreadsPerMultiprocessor = 2048;
constexpr int kSharedPerMultiprocessor = 228 << 10;
constexpr int kL2CacheBytes = 32 << 20;

std::optional<int> attribute(cudaDeviceAttr name) {
  const emulation::DeviceLimits& limits = emulation::config().limits;
  switch (name) {
    case cudaDevAttrMaxThreadsPerBlock: return static_cast<int>(limits.max_threads);
    case cudaDevAttrMaxSharedMemoryPerBlock: return static_cast<int>(limits.shared_default);
    case cudaDevAttrWarpSize: return emulation::kWarpSize;
    case cudaDevAttrMultiProcessorCount: return kMultiprocessors;
    case cudaDevAttrL2CacheSize: return kL2CacheBytes;
    case cudaDevAttrMaxThreadsPerMultiProcessor: return kThreadsPerMultiprocessor;
    case cudaDevAttrComputeCapabilityMajor: return kMajor;
    case cudaDevAttrComputeCapabilityMinor: return kMinor;
    case cudaDevAttrMaxSharedMemoryPerMultiprocessor: return kSharedPerMultiprocessor;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin: return static_cast<int>(limits.shared_opt_in);
  }
  return std::nullopt;
}

}  // namespace

const char* cudaGetErrorName(cudaError_t error) { return text_of(error).name; }
const char* cudaGetErrorString(cudaError_t error) { return text_of(error).text; }
cudaError_t cudaGetLastError() {
  const cudaError_t error = cudaPeekAtLastError();
  emulation::last_error = cudaSuccess;
  return error;
}
cudaError_t cudaPeekAtLastError() {
  const cudaError_t unusable = RuntimeState::instance().unusable();
  const cudaError_t error = unusable != cudaSuccess ? unusable : emulation::last_error;
  if (error != cudaSuccess) ++emulation::looks;
  return error;
}

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
  properties->sharedMemPerBlock = emulation::config().limits.shared_default;
  properties->sharedMemPerBlockOptin = emulation::config().limits.shared_opt_in;
  properties->sharedMemPerMultiprocessor = kSharedPerMultiprocessor;
  properties->major = kMajor;
  properties->minor = kMinor;
  properties->multiProcessorCount = kMultiprocessors;
  properties->warpSize = emulation::kWarpSize;
  properties->maxThreadsPerBlock = static_cast<int>(emulation::config().limits.max_threads);
  properties->maxThreadsPerMultiProcessor = kThreadsPerMultiprocessor;
  properties->l2CacheSize = kL2CacheBytes;
  const emulation::DeviceLimits& limits = emulation::config().limits;
  properties->maxThreadsDim[0] = properties->maxThreadsDim[1] = static_cast<int>(limits.max_threads);
  properties->maxThreadsDim[2] = static_cast<int>(limits.max_block_z);
  properties->maxGridSize[0] = static_cast<int>(limits.max_grid_x);
  properties->maxGridSize[1] = properties->maxGridSize[2] = static_cast<int>(limits.max_grid_yz);
  properties->maxBlocksPerMultiProcessor = 32;
  properties->regsPerBlock = properties->regsPerMultiprocessor = limits.registers_per_block;
  properties->totalConstMem = 64 << 10;
  properties->memPitch = 0x7FFFFFFF;
  properties->textureAlignment = 512;
  properties->clockRate = properties->memoryClockRate = 1000000;  // clock64 counts nanoseconds
  properties->memoryBusWidth = 64;
  properties->concurrentKernels = properties->asyncEngineCount = properties->unifiedAddressing = 1;
  properties->managedMemory = properties->canMapHostMemory = 1;
  return cudaSuccess;
}

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr wanted, int device) {
  if (device != 0) return returned(cudaErrorInvalidDevice);
  const std::optional<int> known = attribute(wanted);
  if (!known) return returned(cudaErrorInvalidValue);
  *value = *known;
  return cudaSuccess;
}

cudaError_t cudaRuntimeGetVersion(int* version) {
  *version = kVersion;
  return cudaSuccess;
}

cudaError_t cudaDriverGetVersion(int* version) { return cudaRuntimeGetVersion(version); }

// ---- kernels ----

cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* attributes, const void* kernel) {
  const emulation::DeviceLimits& limits = emulation::config().limits;
  const emulation::KernelFacts facts = emulation::facts_of(kernel);
  *attributes = {};
  attributes->sharedSizeBytes = facts.static_shared;
  attributes->maxThreadsPerBlock = static_cast<int>(facts.max_threads > 0 ? facts.max_threads : limits.max_threads);
  attributes->binaryVersion = 10 * kMajor + kMinor;
  attributes->maxDynamicSharedSizeBytes =
      static_cast<int>(facts.allowed_dynamic > 0 ? facts.allowed_dynamic : limits.shared_default - facts.static_shared);
  return cudaSuccess;
}

cudaError_t cudaFuncSetAttribute(const void* kernel, cudaFuncAttribute wanted, int value) {
  if (const cudaError_t error = RuntimeState::instance().unusable(); error != cudaSuccess) return returned(error);
  if (wanted == cudaFuncAttributePreferredSharedMemoryCarveout)  // a hint, in percent; -1: the driver's choice
    return returned(value >= -1 && value <= 100 ? cudaSuccess : cudaErrorInvalidValue);
  if (wanted != cudaFuncAttributeMaxDynamicSharedMemorySize) return returned(cudaErrorInvalidValue);
  if (const auto refused = emulation::allowance_refusal(emulation::config().limits, emulation::facts_of(kernel), value))
    return returned(refused->error);
  emulation::allow_dynamic_shared(kernel, static_cast<std::size_t>(value));
  return cudaSuccess;
}

// ---- memory ----

namespace {

cudaError_t allocate(void** memory, std::size_t bytes, MemoryKind kind) {
  RuntimeState& state = RuntimeState::instance();
  if (const cudaError_t error = state.unusable(); error != cudaSuccess) return returned(error);
  const std::lock_guard lock(state.mutex);
  *memory = nullptr;
  if (!state.allowed_beside_captures()) return returned(cudaErrorStreamCaptureUnsupported);
  if (bytes == 0) return cudaSuccess;
  *memory = DeviceMemory::instance().allocate(bytes, kind);
  return returned(*memory ? cudaSuccess : cudaErrorMemoryAllocation);
}

void report_wrong_free(const char* function, const void* memory) {
  const auto report = emulation::config().report_misuse;
  if (report == nullptr) return;
  const DeviceMemory& device = DeviceMemory::instance();
  std::string what = device.describe_freed(memory);
  if (what.starts_with("0 bytes into")) what = "which was freed before";
  if (what.empty())
    what = device.allocation_of(memory) ? "which is not the beginning of its allocation, or not of this "
                                          "kind of memory"
                                        : "which was never allocated on the device";
  report(fmt::format("{} at {} got {}, {}", function, emulation::own_call_site().place, memory, what));
}

cudaError_t free(void* memory, MemoryKind kind, std::optional<MemoryKind> or_kind = {}) {
  if (!memory) return cudaSuccess;
  RuntimeState& state = RuntimeState::instance();
  const cudaError_t unusable = state.unusable();
  if (unusable == cudaErrorInitializationError) return returned(unusable);
  const std::lock_guard lock(state.mutex);
  if (!state.device_can_be_waited_for()) return returned(cudaErrorStreamCaptureUnsupported);
  state.run_all();
  if (unusable == cudaSuccess) state.check_unnamed(memory);
  const bool released =
      DeviceMemory::instance().release(memory, kind) || (or_kind && DeviceMemory::instance().release(memory, *or_kind));
  if (!released && unusable == cudaSuccess)
    report_wrong_free(kind == MemoryKind::kPinned ? "cudaFreeHost" : "cudaFree", memory);
  return returned(unusable != cudaSuccess ? unusable : released ? cudaSuccess : cudaErrorInvalidValue);
}

bool on_device(const void* memory, std::size_t bytes) {
  return DeviceMemory::instance().contains(memory, bytes, MemoryKind::kDevice);
}

bool managed(const void* memory, std::size_t bytes) {
  return DeviceMemory::instance().contains(memory, bytes, MemoryKind::kManaged);
}

bool pinned(const void* memory, std::size_t bytes) {
  return DeviceMemory::instance().contains(memory, bytes, MemoryKind::kPinned);
}

/// Why a copy must not have this end; "" if it may. `name`: "target" or "source". `of_device`: what the copy's kind
/// says; nothing if that follows from the address. Managed memory is the host's and the device's.
std::string why_not(const char* name, const void* memory, std::size_t bytes, std::optional<bool> of_device) {
  const DeviceMemory& device = DeviceMemory::instance();
  if (const std::size_t room = device.room_at(memory); room > 0 && room < bytes)
    return fmt::format("the copy has {} bytes, but the {} has only {}", bytes, name, room);
  if (!of_device || managed(memory, bytes) || on_device(memory, bytes) == *of_device) return "";
  if (const std::string freed = device.describe_freed(memory); *of_device && !freed.empty())
    return fmt::format("the {} is {}", name, freed);
  return fmt::format("the {} is {}, but the copy's kind says otherwise", name,
                     *of_device ? "not the device's memory" : "the device's memory");
}

/// The same for both ends.
std::string why_not(const void* target, const void* source, std::size_t bytes, cudaMemcpyKind kind) {
  std::optional<bool> to_device, from_device;
  if (kind != cudaMemcpyDefault) {
    to_device = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
    from_device = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
  }
  const std::string why = why_not("target", target, bytes, to_device);
  return why.empty() ? why_not("source", source, bytes, from_device) : why;
}

void report_copy_of_unwritten(const void* source, std::size_t bytes) {
  const auto report = emulation::config().report_misuse;
  if (report == nullptr || emulation::access_observer == nullptr) return;
  const auto unwritten = emulation::access_observer->unwritten(source, bytes);
  if (unwritten.count == 0) return;
  report(fmt::format("the copy at {} reads device memory that nothing has written: {} of its {} bytes, from byte {} on",
                     emulation::own_call_site().place, unwritten.count, bytes, unwritten.offset));
}

}  // namespace

cudaError_t cudaMalloc(void** memory, std::size_t bytes) { return allocate(memory, bytes, MemoryKind::kDevice); }
cudaError_t cudaMallocManaged(void** memory, std::size_t bytes, unsigned) {
  return allocate(memory, bytes, MemoryKind::kManaged);
}
cudaError_t cudaFree(void* memory) { return free(memory, MemoryKind::kDevice, MemoryKind::kManaged); }
cudaError_t cudaHostAlloc(void** memory, std::size_t bytes, unsigned) { return cudaMallocHost(memory, bytes); }
cudaError_t cudaMallocHost(void** memory, std::size_t bytes) { return allocate(memory, bytes, MemoryKind::kPinned); }
cudaError_t cudaFreeHost(void* memory) { return free(memory, MemoryKind::kPinned); }

cudaError_t cudaMemGetInfo(std::size_t* free_bytes, std::size_t* total_bytes) {
  if (const cudaError_t error = RuntimeState::instance().unusable(); error != cudaSuccess) return returned(error);
  *free_bytes = DeviceMemory::instance().free_bytes();
  *total_bytes = emulation::config().memory_limit;
  return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void* target, const void* source, std::size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t handle) {
  if (bytes == 0) return cudaSuccess;
  RuntimeState& state = RuntimeState::instance();
  if (const cudaError_t error = state.unusable(); error != cudaSuccess) return returned(error);
  const std::lock_guard lock(state.mutex);
  if (std::string why = why_not(target, source, bytes, kind); !why.empty())
    return returned(cudaErrorInvalidValue, std::move(why));
  const auto pageable = [&](const void* memory) {
    return !on_device(memory, bytes) && !pinned(memory, bytes) && !managed(memory, bytes);
  };
  const bool from_pageable = pageable(source), to_pageable = pageable(target);
  emulation::Stream& stream = state.stream(handle);
  if (stream.capture && (from_pageable || to_pageable)) {
    stream.capture->invalidated = true;
    return returned(cudaErrorStreamCaptureUnsupported);
  }
  if (const cudaError_t error = state.accepts_work(stream); error != cudaSuccess) return returned(error);
  if (stream.capture) {
    emulation::name_memory(*stream.capture->graph, &target, sizeof target, "the target of a copy");
    emulation::name_memory(*stream.capture->graph, &source, sizeof source, "the source of a copy");
  }
  if (!stream.capture && !from_pageable) report_copy_of_unwritten(source, bytes);
  if (from_pageable) {
    const auto* first = static_cast<const char*>(source);
    emulation::enqueue(handle, [target, staged = std::vector<char>(first, first + bytes)] {
      std::memcpy(target, staged.data(), staged.size());
    });
  } else {
    emulation::enqueue(handle, [target, source, bytes] { std::memcpy(target, source, bytes); });
  }
  if (emulation::access_observer) emulation::access_observer->host_wrote(target, bytes);
  if (to_pageable) stream.run_all();
  return cudaSuccess;
}

cudaError_t cudaMemcpy2D(void* target, std::size_t target_pitch, const void* source, std::size_t source_pitch,
                         std::size_t width, std::size_t height, cudaMemcpyKind kind) {
  if (width > target_pitch || width > source_pitch)
    return returned(cudaErrorInvalidValue, fmt::format("rows of {} bytes are wider than a pitch of {}", width,
                                                       std::min(target_pitch, source_pitch)));
  for (std::size_t row = 0; row < height; ++row) {
    const cudaError_t error = cudaMemcpy(static_cast<char*>(target) + row * target_pitch,
                                         static_cast<const char*>(source) + row * source_pitch, width, kind);
    if (error != cudaSuccess) return error;
  }
  return cudaSuccess;
}

cudaError_t cudaMallocPitch(void** memory, std::size_t* pitch, std::size_t width, std::size_t height) {
  *pitch = (width + 511) / 512 * 512;
  return cudaMalloc(memory, *pitch * height);
}

// In stream order: the memory is there at once, and is freed when the stream's work has run.
cudaError_t cudaMallocAsync(void** memory, std::size_t bytes, cudaStream_t) { return cudaMalloc(memory, bytes); }
cudaError_t cudaFreeAsync(void* memory, cudaStream_t stream) {
  const cudaError_t error = cudaStreamSynchronize(stream);
  return error == cudaSuccess ? cudaFree(memory) : error;
}

cudaError_t cudaMemcpy(void* target, const void* source, std::size_t bytes, cudaMemcpyKind kind) {
  const cudaError_t error = cudaMemcpyAsync(target, source, bytes, kind);
  return error == cudaSuccess ? cudaStreamSynchronize(nullptr) : error;
}

cudaError_t cudaMemsetAsync(void* target, int byte, std::size_t bytes, cudaStream_t handle) {
  if (bytes == 0) return cudaSuccess;
  RuntimeState& state = RuntimeState::instance();
  if (const cudaError_t error = state.unusable(); error != cudaSuccess) return returned(error);
  const std::lock_guard lock(state.mutex);
  if (!on_device(target, bytes) && !managed(target, bytes)) {
    const std::size_t room = DeviceMemory::instance().room_at(target);
    return returned(cudaErrorInvalidValue,
                    room > 0 ? fmt::format("it sets {} bytes, but the target has only {}", bytes, room)
                             : "the target is not the device's memory");
  }
  const emulation::Stream& stream = state.stream(handle);
  if (const cudaError_t error = state.accepts_work(stream); error != cudaSuccess) return returned(error);
  if (stream.capture) emulation::name_memory(*stream.capture->graph, &target, sizeof target, "the target of a memset");
  emulation::enqueue(handle, [target, byte, bytes] { std::memset(target, byte, bytes); });
  if (emulation::access_observer) emulation::access_observer->host_wrote(target, bytes);
  return cudaSuccess;
}

cudaError_t cudaMemset(void* target, int byte, std::size_t bytes) {
  const cudaError_t error = cudaMemsetAsync(target, byte, bytes);
  return error == cudaSuccess ? cudaStreamSynchronize(nullptr) : error;
}

}  // namespace gradamp::emulated
