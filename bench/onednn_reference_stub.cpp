// SPDX-License-Identifier: MIT
#include "gradamp/bench/convolution_reference.h"

namespace gradamp::bench {

ConvolutionReferenceChoice make_onednn_reference() {
  return {nullptr, "left out: oneDNN is not in this build, because it was not found when it was configured"};
}

}  // namespace gradamp::bench
