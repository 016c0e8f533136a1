// SPDX-License-Identifier: MIT
// Whether a GPU computes what this program's kernels rely on: instructions, kernels, reductions and graphs, each on
// small inputs whose exact result is known.
#pragma once

#include <string>
#include <vector>

#include "gradamp/core/device.h"
#include "gradamp/core/dtype.h"
#include "gradamp/kernels/backends.h"

namespace gradamp {

/// One thing that self_check looks at: an instruction, an operation of the backend, or a way to launch it.
struct SelfCheckPart {
  std::string name;                   // "convolution forward, bf16"
  std::vector<Precision> precisions;  // the precisions whose training depends on this part
  double seconds = 0;
  /// What disagreed: where, the value that was computed, the value that was expected and their difference; or the error
  /// that ended the part. Empty if everything agreed.
  std::string disagreement;
};

struct SelfCheckReport {
  std::vector<SelfCheckPart> parts;  // in the order in which they ran, the simplest first

  /// Whether nothing that `precision` depends on disagreed.
  bool passed(Precision precision) const;
  /// Whether nothing disagreed at all.
  bool passed() const;
};

/// Runs every part on `device`, which is cuda or emulated, in about a second on a GPU. A disagreement is in the report,
/// and so is an error of the device, after which no further part runs. Of `options` the precision is ignored: every
/// precision is checked. Error if the device cannot be used or is the CPU.
SelfCheckReport self_check(const Device& device, const BackendOptions& options = {});

/// What the outcome of a self-check depends on beside the program. Empty strings where a device has no such thing.
struct DeviceFacts {
  std::string name;                // "NVIDIA H200"
  std::string compute_capability;  // "9.0"
  std::string uuid;                // "GPU-9b2c1f60-..."
  std::string driver;              // the CUDA version that it supports, and what /proc/driver/nvidia/version says
};

/// Facts of the device that make_backend(device) would use. Error if it cannot be used.
DeviceFacts device_facts(const Device& device);

}  // namespace gradamp
