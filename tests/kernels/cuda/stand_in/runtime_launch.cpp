// SPDX-License-Identifier: MIT
// CUDA's runtime calls that register and launch kernels, including those that only nvcc's code makes.
#include <algorithm>
#include <cstring>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "gradamp/kernels/emulation/grid.h"
#include "gradamp/kernels/emulation/runtime_state.h"
#include "gradamp/kernels/emulation/stream.h"
#include "gradamp/tests/kernels/cuda/stand_in/call.h"
#include "gradamp/tests/kernels/cuda/stand_in/kernel_table.h"
#include "gradamp/tests/kernels/cuda/stand_in/log.h"
#include "gradamp/tests/kernels/cuda/stand_in/settings.h"
#include "gradamp/tests/kernels/cuda/stand_in/stream_devices.h"

namespace gradamp::stand_in {
namespace {

std::mutex mutex;
long launches = 0;

emulation::Stream* emulated_stream(cudaStream_t stream) { return reinterpret_cast<emulation::Stream*>(stream); }

bool is_capturing(cudaStream_t stream) {
  return emulation::RuntimeState::instance().stream(emulated_stream(stream)).capture.has_value();
}

emulated::dim3 converted_extent(const dim3& extent) { return {extent.x, extent.y, extent.z}; }

void log_launch(const Kernel& kernel, const cudaLaunchConfig_t& launch, const std::string& verdict) {
  log_line(fmt::format("launch\t{}\t{},{},{}\t{}\t{}\t{}\t{}\t{}\t{}\t{}", kernel.name, launch.gridDim.x,
                       launch.gridDim.y, launch.gridDim.z, launch.blockDim.x * launch.blockDim.y * launch.blockDim.z,
                       launch.dynamicSmemBytes, kernel.facts.static_shared, kernel.facts.registers, kernel.image,
                       is_capturing(launch.stream) ? "captured" : "eager", verdict));
}

/// A kernel that loads at its first launch (lazy loading, the default since CUDA 12.2) may allocate and synchronize.
void note_loading(Kernel& kernel, cudaStream_t stream) {
  if (!std::exchange(kernel.loaded, true) && is_capturing(stream))
    log_violation(kernel.name + " is launched for the first time inside a capture");
}

cudaError_t refuse(const Kernel& kernel, const cudaLaunchConfig_t& launch, cudaError_t error,
                   const std::string& reason) {
  log_launch(kernel, launch, reason);
  std::fprintf(stderr, "stand-in: %s refuses %s: %s\n", settings().device->full_name, kernel.name.c_str(),
               reason.c_str());
  return returned(error);
}

/// Copies the arguments, as a launch does, and puts the kernel into the stream.
void execute(const Kernel& kernel, const cudaLaunchConfig_t& launch, void** arguments) {
  const PtxKernel& code = *kernel.code;
  const std::size_t size = code.parameters.empty() ? 0 : code.parameters.back().offset + code.parameters.back().bytes;
  // 16 bytes: the widest alignment of a parameter.
  std::vector<std::pair<std::uint64_t, std::uint64_t>> bytes(size / 16 + 1);
  for (std::size_t i = 0; i < code.parameters.size(); ++i)
    std::memcpy(reinterpret_cast<char*>(bytes.data()) + code.parameters[i].offset, arguments[i],
                code.parameters[i].bytes);
  if (const auto graph = emulation::graph_of_capture(emulated_stream(launch.stream))) {
    for (std::size_t i = 0; i < code.parameters.size(); ++i)
      emulation::name_memory(*graph, arguments[i], code.parameters[i].bytes,
                             fmt::format("argument {} of the kernel {}", i + 1, kernel.name));
  }
  const emulation::GridShape shape{converted_extent(launch.gridDim),
                                   converted_extent(launch.blockDim),
                                   code.static_shared + launch.dynamicSmemBytes,
                                   {kernel.name.c_str(), 0}};
  emulation::enqueue(emulated_stream(launch.stream), [shape, run = code.run, bytes = std::move(bytes)] {
    emulation::run_grid(shape, {run, bytes.data()});
  });
}

/// Number of blocks that fit a multiprocessor: limited by threads, by registers (allocated per warp in units of 256)
/// and by shared memory.
int resident_blocks(const Kernel& kernel, int threads, std::size_t dynamic_shared) {
  const DeviceProfile& device = *settings().device;
  const int warps = (threads + 31) / 32;
  const int registers_of_warp = (kernel.facts.registers * 32 + 255) / 256 * 256;
  const auto shared = static_cast<int>(kernel.facts.static_shared + dynamic_shared) + kReservedSharedBytes;
  int blocks = std::min(device.blocks_per_multiprocessor, device.threads_per_multiprocessor / (warps * 32));
  if (registers_of_warp > 0)
    blocks = std::min(blocks, device.limits().registers_per_block / (registers_of_warp * warps));
  return std::min(blocks, (device.shared_per_multiprocessor_kib << 10) / shared);
}

cudaError_t launch_kernel(const cudaLaunchConfig_t& launch, const void* function, void** arguments) {
  if (!is_of_current_device(launch.stream)) return returned(cudaErrorInvalidResourceHandle);
  const std::lock_guard lock(mutex);
  Kernel* kernel = find_kernel(function);
  if (kernel == nullptr) return returned(cudaErrorInvalidDeviceFunction);
  if (++launches == settings().fail_kernel) {
    make_sticky(cudaErrorIllegalAddress);
    return cudaSuccess;  // a later call returns the failure
  }
  if (kernel->image.empty()) return refuse(*kernel, launch, cudaErrorNoKernelImageForDevice, "no image");
  note_loading(*kernel, launch.stream);
  const emulation::LaunchShape shape{converted_extent(launch.gridDim), converted_extent(launch.blockDim),
                                     launch.dynamicSmemBytes};
  if (const auto refused = emulation::refusal(settings().device->limits(), kernel->facts, shape))
    return refuse(*kernel, launch, converted(refused->error), refused->reason);
  log_launch(*kernel, launch, "ok");
  if (!settings().execute) return cudaSuccess;
  if (kernel->code == nullptr) return refuse(*kernel, launch, cudaErrorNotSupported, "not translated");
  execute(*kernel, launch, arguments);
  return cudaSuccess;
}

}  // namespace
}  // namespace gradamp::stand_in

using namespace gradamp::stand_in;

extern "C" {

// ---- Calls of nvcc's code before and after main; no public header declares them ----

void** __cudaRegisterFatBinary(void* wrapper) {
  return reinterpret_cast<void**>(new Module(read_fat_binary(wrapper)));  // lives until the process ends
}
void __cudaRegisterFatBinaryEnd(void**) {}
void __cudaUnregisterFatBinary(void**) { begin_unloading(); }
void __cudaRegisterFunction(void** module, const char* function, char*, const char* mangled_name, int, uint3*, uint3*,
                            dim3*, dim3*, int*) {
  register_kernel(function, mangled_name, reinterpret_cast<const Module*>(module));
}
void __cudaRegisterVar(void**, char*, char*, const char*, int, std::size_t, int, int) {}

// ---- Launches by <<<>>>: the caller pushes a configuration, and nvcc's function for the kernel pops it ----

thread_local std::vector<cudaLaunchConfig_t> pushed_configurations;

unsigned __cudaPushCallConfiguration(dim3 grid, dim3 block, std::size_t dynamic_shared, cudaStream_t stream) {
  cudaLaunchConfig_t configuration{};
  configuration.gridDim = grid;
  configuration.blockDim = block;
  configuration.dynamicSmemBytes = dynamic_shared;
  configuration.stream = stream;
  pushed_configurations.push_back(configuration);
  return 0;
}
cudaError_t __cudaPopCallConfiguration(dim3* grid, dim3* block, std::size_t* dynamic_shared, void* stream) {
  if (pushed_configurations.empty()) return cudaErrorMissingConfiguration;
  const cudaLaunchConfig_t configuration = pushed_configurations.back();
  pushed_configurations.pop_back();
  *grid = configuration.gridDim;
  *block = configuration.blockDim;
  *dynamic_shared = configuration.dynamicSmemBytes;
  *static_cast<cudaStream_t*>(stream) = configuration.stream;
  return cudaSuccess;
}
cudaError_t __cudaGetKernel(cudaKernel_t* kernel, const void* function) {
  *kernel = reinterpret_cast<cudaKernel_t>(const_cast<void*>(function));
  return cudaSuccess;
}

cudaError_t cudaLaunchKernelExC(const cudaLaunchConfig_t* launch, const void* function, void** arguments) {
  if (const cudaError_t error = begin_call("cudaLaunchKernelExC")) return error;
  return launch_kernel(*launch, function, arguments);
}
cudaError_t cudaLaunchKernel(const void* function, dim3 grid, dim3 block, void** arguments, std::size_t dynamic_shared,
                             cudaStream_t stream) {
  if (const cudaError_t error = begin_call("cudaLaunchKernel")) return error;
  cudaLaunchConfig_t launch{};
  launch.gridDim = grid;
  launch.blockDim = block;
  launch.dynamicSmemBytes = dynamic_shared;
  launch.stream = stream;
  return launch_kernel(launch, function, arguments);
}
cudaError_t __cudaLaunchKernel(cudaKernel_t kernel, dim3 grid, dim3 block, void** arguments, std::size_t dynamic_shared,
                               cudaStream_t stream) {
  return cudaLaunchKernel(kernel, grid, block, arguments, dynamic_shared, stream);
}

cudaError_t cudaFuncSetAttribute(const void* function, cudaFuncAttribute attribute, int value) {
  if (const cudaError_t error = begin_call("cudaFuncSetAttribute")) return error;
  const std::lock_guard lock(mutex);
  Kernel* kernel = find_kernel(function);
  if (kernel == nullptr) return returned(cudaErrorInvalidDeviceFunction);
  if (kernel->image.empty()) return returned(cudaErrorNoKernelImageForDevice);
  if (attribute != cudaFuncAttributeMaxDynamicSharedMemorySize) return returned(cudaErrorInvalidValue);
  if (const auto refused = gradamp::emulation::allowance_refusal(settings().device->limits(), kernel->facts, value))
    return returned(converted(refused->error));
  kernel->facts.allowed_dynamic = static_cast<std::size_t>(value);
  return cudaSuccess;
}

cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* attributes, const void* function) {
  if (const cudaError_t error = begin_call("cudaFuncGetAttributes")) return error;
  const std::lock_guard lock(mutex);
  const Kernel* kernel = find_kernel(function);
  if (kernel == nullptr) return returned(cudaErrorInvalidDeviceFunction);
  if (kernel->image.empty()) return returned(cudaErrorNoKernelImageForDevice);
  *attributes = {};
  attributes->sharedSizeBytes = kernel->facts.static_shared;
  attributes->numRegs = kernel->facts.registers;
  attributes->maxThreadsPerBlock = static_cast<int>(kernel->facts.max_threads ? kernel->facts.max_threads : 1024);
  attributes->maxDynamicSharedSizeBytes = static_cast<int>(kernel->facts.allowed_dynamic);
  attributes->binaryVersion = kernel->binary_version;
  attributes->ptxVersion = kernel->ptx_version;
  return cudaSuccess;
}

cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int* blocks, const void* function, int threads,
                                                                   std::size_t dynamic_shared, unsigned) {
  if (const cudaError_t error = begin_call("cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags")) return error;
  const std::lock_guard lock(mutex);
  const Kernel* kernel = find_kernel(function);
  if (kernel == nullptr) return returned(cudaErrorInvalidDeviceFunction);
  *blocks = resident_blocks(*kernel, threads, dynamic_shared);
  return cudaSuccess;
}

}  // extern "C"
