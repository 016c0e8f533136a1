// SPDX-License-Identifier: MIT
#include "gradamp/tests/kernels/cuda/stand_in/call.h"

#include <unistd.h>

#include <atomic>
#include <string>

#include "gradamp/kernels/emulation/runtime_state.h"
#include "gradamp/tests/kernels/cuda/stand_in/log.h"
#include "gradamp/tests/kernels/cuda/stand_in/settings.h"

namespace gradamp::stand_in {
namespace {

std::atomic<bool> unloading = false;
std::atomic<cudaError_t> sticky = cudaSuccess;
std::atomic<pid_t> process = 0;  // the first one that used the device
std::atomic<long> calls = 0;

/// CUDA C++ Programming Guide, "Initialization": a context does not survive fork.
bool is_forked() {
  pid_t first = 0;
  if (process.compare_exchange_strong(first, getpid())) return false;
  return first != getpid();
}

}  // namespace

cudaError_t returned(cudaError_t error) {
  emulation::returned(static_cast<emulated::cudaError_t>(static_cast<int>(error)));
  return error;
}

cudaError_t device_state() {
  const DeviceProfile& device = *settings().device;
  if (device.driver < CUDART_VERSION) return cudaErrorInsufficientDriver;
  return device.major == 0 ? cudaErrorNoDevice : cudaSuccess;
}

cudaError_t begin_call_without_device(const char* name) {
  log_line("call\t" + std::string(name));
  if (unloading) return cudaErrorCudartUnloading;
  if (++calls == settings().fail_call) return returned(cudaErrorUnknown);
  return cudaSuccess;
}

cudaError_t begin_call(const char* name) {
  if (const cudaError_t error = begin_call_without_device(name)) return error;
  if (const cudaError_t error = device_state()) return returned(error);
  if (is_forked()) {
    log_violation(std::string(name) + " in a child process: CUDA does not survive fork");
    return returned(cudaErrorInitializationError);
  }
  return sticky;
}

void make_sticky(cudaError_t error) { sticky = error; }

void begin_unloading() { unloading = true; }

}  // namespace gradamp::stand_in
