// SPDX-License-Identifier: MIT
// Checks whether a GPU computes correctly what this program's kernels need: instructions, kernels, reductions and
// graphs, each on small inputs whose exact result is known.
#pragma once

#include <string>
#include <vector>

#include "gradamp/core/device.h"
#include "gradamp/core/dtype.h"
#include "gradamp/kernels/backends.h"

namespace gradamp {

/// One subject of the self-check: an instruction, an operation of the backend, or a way to launch it.
struct SelfCheckPart {
  std::string name;                   // "convolution forward, bf16"
  std::vector<Precision> precisions;  // the precisions whose training depends on this part
  double seconds = 0;
  /// The first disagreement: the element, the computed and the expected value, and their difference; or the error that
  /// ended the part. Empty if everything agreed.
  std::string disagreement;
};

struct SelfCheckReport {
  std::vector<SelfCheckPart> parts;  // in the order in which they ran, the simplest first

  /// Whether every part that `precision` depends on agreed.
  bool passed(Precision precision) const;
  /// Whether every part agreed.
  bool passed() const;
};

/// Runs every part on `device`, which is cuda or emulated, in about a second on a GPU. Disagreements are in the report.
/// So are errors of the device, after which no further part runs. The precision in `options` is ignored: every
/// precision is checked. Error if the device cannot be used or is the CPU.
SelfCheckReport self_check(const Device& device, const BackendOptions& options = {});

/// The properties of the device on which the result of a self-check depends. Empty strings if it has no such property.
struct DeviceFacts {
  std::string name;                // "NVIDIA H200"
  std::string compute_capability;  // "9.0"
  std::string uuid;                // "GPU-9b2c1f60-..."
  std::string driver;              // CUDA version that it supports; first line of /proc/driver/nvidia/version
};

/// Facts about the device that make_backend(device) would use. Error if it cannot be used.
DeviceFacts device_facts(const Device& device);

/// The precision that `backend` computes in; f32 if it is not ours.
Precision precision_of(const Backend& backend);

/// What disagreed in `report`, in one line without advice; empty if nothing did.
std::string describe_disagreement(const DeviceFacts& device, const SelfCheckReport& report);
/// "NVIDIA H200 (compute capability 9.0)".
std::string describe(const DeviceFacts& device);
/// "mma, bf16: d[row 0, column 1]: got ...; also disagreeing: 'gather'": the first in full.
std::string describe_parts(const SelfCheckReport& report);

}  // namespace gradamp
