// SPDX-License-Identifier: MIT
// Whether the convolutions of convolution_hopper.h can be used on this device. Host files only.
#pragma once

#include <string>

#include "gradamp/kernels/cuda/cuda.h"

namespace gradamp::GRADAMP_GPU {

class CudaBackend;

/// Why the current device cannot use them; no reason if it can.
struct HopperRefusal {
  std::string reason;
  bool disagrees = false;  // their results are wrong: a fault of the device, the driver or this build
};

/// A device can use them if it has compute capability 9.0, its driver encodes tensor maps, and those of `hopper`, a
/// backend that has them, pass the self-check. Looked at once per process and device. The device emulated can use them.
HopperRefusal hopper_refusal(CudaBackend& hopper);

}  // namespace gradamp::GRADAMP_GPU
