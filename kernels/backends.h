// SPDX-License-Identifier: MIT
// The only header through which code outside kernels/ makes a backend.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "gradamp/core/backend.h"
#include "gradamp/core/convolution_method.h"

namespace gradamp {

/// The order in which the emulator runs the threads of a block. A correct kernel computes the same bits in every order.
enum class ThreadOrder { kForward, kReverse, kShuffled };

struct BackendOptions {
  /// CPU threads; 0: OMP_NUM_THREADS, else the processors that affinity and the cgroup's CPU quota allow
  /// (core/processors.h). Backend::description() names the number.
  int threads = 0;
  /// The CPU backend has f32 and bf16.
  Precision precision = Precision::kF32;
  /// For the emulated device; all emulated backends of a process share one order.
  ThreadOrder thread_order = ThreadOrder::kForward;
  std::uint64_t shuffle_seed = 1;
  /// make_backend fails if the device does not have it.
  ConvolutionMethod convolution = ConvolutionMethod::kAuto;
};

/// A backend for `device`; Error if this build or this machine has none. Any thread may call it for the device cpu; see
/// Backend for the others, and for who may use the result.
std::unique_ptr<Backend> make_backend(const Device& device, const BackendOptions& options = {});

/// For a process that is one of several ranks: if `device` is cuda and several GPUs are visible, the one with the index
/// `local_rank`, the rank's number on its host, becomes that of the calling thread. Call it before any other function
/// of that device. Error if there are fewer.
void select_gpu_of_rank(const Device& device, int local_rank);
/// The UUID of the GPU that such a process would take; "" if there is none, or none that this build can use.
std::string gpu_of_rank(int local_rank);

/// A device that this build knows, and its status.
struct DeviceStatus {
  Device device;
  bool available = false;
  /// One line: what it is and was built for, or why it is not available.
  std::string description;
};

/// Every device, the CPU first.
std::vector<DeviceStatus> device_statuses();

}  // namespace gradamp
