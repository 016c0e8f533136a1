// SPDX-License-Identifier: MIT
// CUDA's runtime calls other than launches: memory, streams, events and graphs, forwarded to the emulator.
#include <cstdio>
#include <cstring>
#include <string_view>

#include <fmt/format.h>

#include "gradamp/kernels/emulation/config.h"
#include "gradamp/tests/kernels/cuda/stand_in/call.h"
#include "gradamp/tests/kernels/cuda/stand_in/log.h"
#include "gradamp/tests/kernels/cuda/stand_in/nccl_calls.h"
#include "gradamp/tests/kernels/cuda/stand_in/settings.h"
#include "gradamp/tests/kernels/cuda/stand_in/stream_devices.h"

namespace emu = gradamp::emulated;
using namespace gradamp::stand_in;

namespace {

struct Start {
  Start() {
    gradamp::emulation::config().deferred = settings().deferred;
    gradamp::emulation::config().memory_limit = settings().memory;
  }
} const start;

long allocations = 0;

// Handles of both runtimes are pointers.
emu::cudaStream_t emulated(cudaStream_t stream) { return reinterpret_cast<emu::cudaStream_t>(stream); }
emu::cudaEvent_t emulated(cudaEvent_t event) { return reinterpret_cast<emu::cudaEvent_t>(event); }
emu::cudaGraph_t emulated(cudaGraph_t graph) { return reinterpret_cast<emu::cudaGraph_t>(graph); }
emu::cudaGraphExec_t emulated(cudaGraphExec_t graph) { return reinterpret_cast<emu::cudaGraphExec_t>(graph); }
emu::cudaStream_t* emulated(cudaStream_t* stream) { return reinterpret_cast<emu::cudaStream_t*>(stream); }
emu::cudaEvent_t* emulated(cudaEvent_t* event) { return reinterpret_cast<emu::cudaEvent_t*>(event); }
emu::cudaGraph_t* emulated(cudaGraph_t* graph) { return reinterpret_cast<emu::cudaGraph_t*>(graph); }
emu::cudaGraphExec_t* emulated(cudaGraphExec_t* graph) { return reinterpret_cast<emu::cudaGraphExec_t*>(graph); }

/// Forwards to the emulator's call `expression`, unless begin_call() fails.
#define FORWARD(name, expression)                               \
  if (const cudaError_t error = begin_call(name)) return error; \
  return converted(expression)

struct ErrorText {
  cudaError_t error;
  const char *name, *text;
};

// Errors that the emulator never reports itself.
constexpr ErrorText kErrorTexts[] = {
    {cudaErrorCudartUnloading, "cudaErrorCudartUnloading", "driver shutting down"},
    {cudaErrorMissingConfiguration, "cudaErrorMissingConfiguration", "__global__ function call is not configured"},
    {cudaErrorInvalidDeviceFunction, "cudaErrorInvalidDeviceFunction", "invalid device function"},
    {cudaErrorNotSupported, "cudaErrorNotSupported", "operation not supported"},
};

const ErrorText* find_text(cudaError_t error) {
  for (const ErrorText& text : kErrorTexts)
    if (text.error == error) return &text;
  return nullptr;
}

emu::cudaError_t emulated(cudaError_t error) { return static_cast<emu::cudaError_t>(static_cast<int>(error)); }

}  // namespace

extern "C" {

// ---- Errors ----

cudaError_t cudaGetLastError() {
  const cudaError_t sticky = begin_call("cudaGetLastError");
  return sticky != cudaSuccess ? sticky : converted(emu::cudaGetLastError());
}
cudaError_t cudaPeekAtLastError() {
  const cudaError_t sticky = begin_call("cudaPeekAtLastError");
  return sticky != cudaSuccess ? sticky : converted(emu::cudaPeekAtLastError());
}
const char* cudaGetErrorName(cudaError_t error) {
  const ErrorText* text = find_text(error);
  return text ? text->name : emu::cudaGetErrorName(emulated(error));
}
const char* cudaGetErrorString(cudaError_t error) {
  const ErrorText* text = find_text(error);
  return text ? text->text : emu::cudaGetErrorString(emulated(error));
}

// ---- The device ----

cudaError_t cudaGetDeviceCount(int* count) {
  *count = device_state() == cudaSuccess ? settings().devices : 0;
  return begin_call("cudaGetDeviceCount");
}
cudaError_t cudaGetDevice(int* device) {
  *device = current_device();
  return begin_call("cudaGetDevice");
}
cudaError_t cudaSetDevice(int device) {
  if (const cudaError_t error = begin_call("cudaSetDevice")) return error;
  if (device < 0 || device >= settings().devices) return returned(cudaErrorInvalidDevice);
  current_device() = device;
  return cudaSuccess;
}
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
  if (const cudaError_t error = begin_call("cudaGetDeviceProperties")) return error;
  if (device < 0 || device >= settings().devices) return returned(cudaErrorInvalidDevice);
  const DeviceProfile& profile = *settings().device;
  const gradamp::emulation::DeviceLimits limits = profile.limits();
  *properties = {};
  std::snprintf(properties->name, sizeof properties->name, "%s", profile.full_name);
  properties->uuid.bytes[15] = static_cast<char>(device);
  properties->totalGlobalMem = static_cast<std::size_t>(profile.memory_gib) << 30;
  properties->sharedMemPerBlock = limits.shared_default;
  properties->sharedMemPerBlockOptin = limits.shared_opt_in;
  properties->sharedMemPerMultiprocessor = static_cast<std::size_t>(profile.shared_per_multiprocessor_kib) << 10;
  properties->reservedSharedMemPerBlock = profile.major >= 8 ? kReservedSharedBytes : 0;
  properties->regsPerBlock = properties->regsPerMultiprocessor = limits.registers_per_block;
  properties->warpSize = 32;
  properties->maxThreadsPerBlock = static_cast<int>(limits.max_threads);
  properties->maxThreadsPerMultiProcessor = profile.threads_per_multiprocessor;
  properties->maxBlocksPerMultiProcessor = profile.blocks_per_multiprocessor;
  properties->major = profile.major;
  properties->minor = profile.minor;
  properties->multiProcessorCount = profile.multiprocessors;
  properties->l2CacheSize = profile.l2_mib << 20;
  return cudaSuccess;
}
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device) {
  cudaDeviceProp properties{};
  if (const cudaError_t error = cudaGetDeviceProperties(&properties, device)) return error;
  switch (attribute) {
    case cudaDevAttrComputeCapabilityMajor: *value = properties.major; break;
    case cudaDevAttrComputeCapabilityMinor: *value = properties.minor; break;
    case cudaDevAttrMultiProcessorCount: *value = properties.multiProcessorCount; break;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin: *value = static_cast<int>(properties.sharedMemPerBlockOptin); break;
    case cudaDevAttrMaxGridDimX: *value = static_cast<int>(settings().device->limits().max_grid_x); break;
    case cudaDevAttrL2CacheSize: *value = properties.l2CacheSize; break;
    default:
      log_violation(
          fmt::format("cudaDeviceGetAttribute: attribute {} is not in the stand-in", static_cast<int>(attribute)));
      return returned(cudaErrorInvalidValue);
  }
  return cudaSuccess;
}
cudaError_t cudaDriverGetVersion(int* version) {
  *version = settings().device->driver;
  return begin_call_without_device("cudaDriverGetVersion");
}
cudaError_t cudaRuntimeGetVersion(int* version) {
  *version = CUDART_VERSION;
  return begin_call_without_device("cudaRuntimeGetVersion");
}

// There is no driver behind the stand-in.
#if CUDART_VERSION >= 12050
cudaError_t cudaGetDriverEntryPointByVersion(const char*, void** function, unsigned, unsigned long long,
                                             cudaDriverEntryPointQueryResult* found) {
#else
cudaError_t cudaGetDriverEntryPoint(const char*, void** function, unsigned long long,
                                    cudaDriverEntryPointQueryResult* found) {
#endif
  *function = nullptr;
  if (found) *found = cudaDriverEntryPointSymbolNotFound;
  return begin_call_without_device("cudaGetDriverEntryPoint");
}

// ---- Memory ----

cudaError_t cudaMalloc(void** memory, std::size_t bytes) {
  if (const cudaError_t error = begin_call("cudaMalloc")) return error;
  *memory = nullptr;
  if (++allocations == settings().fail_allocation) return returned(cudaErrorMemoryAllocation);
  return converted(emu::cudaMalloc(memory, bytes));
}
cudaError_t cudaFree(void* memory) { FORWARD("cudaFree", emu::cudaFree(memory)); }
cudaError_t cudaMallocHost(void** memory, std::size_t bytes) {
  FORWARD("cudaMallocHost", emu::cudaMallocHost(memory, bytes));
}
cudaError_t cudaFreeHost(void* memory) { FORWARD("cudaFreeHost", emu::cudaFreeHost(memory)); }
cudaError_t cudaMemGetInfo(std::size_t* free_bytes, std::size_t* total_bytes) {
  FORWARD("cudaMemGetInfo", emu::cudaMemGetInfo(free_bytes, total_bytes));
}
cudaError_t cudaMemcpyAsync(void* target, const void* source, std::size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream) {
  FORWARD("cudaMemcpyAsync",
          emu::cudaMemcpyAsync(target, source, bytes, static_cast<emu::cudaMemcpyKind>(kind), emulated(stream)));
}
cudaError_t cudaMemcpy(void* target, const void* source, std::size_t bytes, cudaMemcpyKind kind) {
  FORWARD("cudaMemcpy", emu::cudaMemcpy(target, source, bytes, static_cast<emu::cudaMemcpyKind>(kind)));
}
cudaError_t cudaMemsetAsync(void* target, int byte, std::size_t bytes, cudaStream_t stream) {
  FORWARD("cudaMemsetAsync", emu::cudaMemsetAsync(target, byte, bytes, emulated(stream)));
}
cudaError_t cudaMemset(void* target, int byte, std::size_t bytes) {
  FORWARD("cudaMemset", emu::cudaMemset(target, byte, bytes));
}

// ---- Streams ----

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags) {
  if (const cudaError_t error = begin_call("cudaStreamCreateWithFlags")) return error;
  const cudaError_t result = converted(emu::cudaStreamCreateWithFlags(emulated(stream), flags));
  if (result == cudaSuccess) add_stream(*stream);
  return result;
}
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  remove_stream(stream);
  FORWARD("cudaStreamDestroy", emu::cudaStreamDestroy(emulated(stream)));
}
cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  wait_while_it_hangs();
  FORWARD("cudaStreamSynchronize", emu::cudaStreamSynchronize(emulated(stream)));
}
cudaError_t cudaStreamQuery(cudaStream_t stream) {
  if (hangs()) return cudaErrorNotReady;
  FORWARD("cudaStreamQuery", emu::cudaStreamQuery(emulated(stream)));
}
cudaError_t cudaDeviceSynchronize() { FORWARD("cudaDeviceSynchronize", emu::cudaDeviceSynchronize()); }

// ---- Captures and graphs ----

cudaError_t cudaStreamIsCapturing(cudaStream_t stream, cudaStreamCaptureStatus* status) {
  FORWARD("cudaStreamIsCapturing",
          emu::cudaStreamIsCapturing(emulated(stream), reinterpret_cast<emu::cudaStreamCaptureStatus*>(status)));
}
cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode) {
  FORWARD("cudaStreamBeginCapture",
          emu::cudaStreamBeginCapture(emulated(stream), static_cast<emu::cudaStreamCaptureMode>(mode)));
}
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  FORWARD("cudaStreamEndCapture", emu::cudaStreamEndCapture(emulated(stream), emulated(graph)));
}
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* executable, cudaGraph_t graph, unsigned long long flags) {
  FORWARD("cudaGraphInstantiate", emu::cudaGraphInstantiate(emulated(executable), emulated(graph), flags));
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t stream) {
  FORWARD("cudaGraphLaunch", emu::cudaGraphLaunch(emulated(executable), emulated(stream)));
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph) { FORWARD("cudaGraphDestroy", emu::cudaGraphDestroy(emulated(graph))); }
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable) {
  FORWARD("cudaGraphExecDestroy", emu::cudaGraphExecDestroy(emulated(executable)));
}

// ---- Events ----

cudaError_t cudaEventCreate(cudaEvent_t* event) { FORWARD("cudaEventCreate", emu::cudaEventCreate(emulated(event))); }
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags) {
  FORWARD("cudaEventCreateWithFlags", emu::cudaEventCreateWithFlags(emulated(event), flags));
}
cudaError_t cudaEventDestroy(cudaEvent_t event) { FORWARD("cudaEventDestroy", emu::cudaEventDestroy(emulated(event))); }
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  FORWARD("cudaEventRecord", emu::cudaEventRecord(emulated(event), emulated(stream)));
}
cudaError_t cudaEventQuery(cudaEvent_t event) {
  if (hangs()) return cudaErrorNotReady;
  FORWARD("cudaEventQuery", emu::cudaEventQuery(emulated(event)));
}
cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  wait_while_it_hangs();
  FORWARD("cudaEventSynchronize", emu::cudaEventSynchronize(emulated(event)));
}
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t begin, cudaEvent_t end) {
  FORWARD("cudaEventElapsedTime", emu::cudaEventElapsedTime(milliseconds, emulated(begin), emulated(end)));
}

}  // extern "C"
