// SPDX-License-Identifier: MIT
#include "gradamp/bench/convolution_reference.h"

namespace gradamp::bench {

ConvolutionReferenceChoice make_convolution_reference(const Device& device) {
  switch (device.kind) {
    case DeviceKind::kCuda: return make_cudnn_reference();
    case DeviceKind::kCpu: return make_onednn_reference();
    case DeviceKind::kEmulated: break;
  }
  return {nullptr, "left out: no library computes on the device emulated"};
}

}  // namespace gradamp::bench
