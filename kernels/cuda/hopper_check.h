// SPDX-License-Identifier: MIT
// Whether the convolutions of convolution_hopper.h can be used on this device. Host files only.
#pragma once

#include <string>

#include "gradamp/kernels/cuda/cuda.h"

namespace gradamp::GRADAMP_GPU {

/// Why the current device cannot use them; empty if it can.
struct HopperRefusal {
  std::string reason;
  bool disagrees =
      false;  // it computes something else than by mma.sync: a fault of the device, the driver or this build
};

/// A device can use them if it has compute capability 9.0, its driver encodes tensor maps, and small convolutions agree
/// with those by mma.sync. Looked at once per process and device. On the device emulated, they always can be used.
HopperRefusal hopper_refusal();

}  // namespace gradamp::GRADAMP_GPU
