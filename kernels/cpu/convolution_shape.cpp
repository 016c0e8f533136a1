// SPDX-License-Identifier: MIT
#include "gradamp/kernels/cpu/convolution_shape.h"

namespace gradamp {

bool uses_winograd(ConvolutionMethod method, ConvolutionPass pass, const ConvolutionShape& s) {
  const bool possible =
      s.kernel_h == 3 && s.kernel_w == 3 && s.stride == 1 && s.padding <= 2 && s.dilation == 1 && s.groups == 1;
  if (!possible || method == ConvolutionMethod::kDirect) return false;
  if (method == ConvolutionMethod::kWinograd) return true;

  // Only whole groups of 16 channels are fast. With 24 channels in and out, padded to 32, 7 of 16 products would be
  // with zeros.
  const bool whole_groups = s.in_channels % 16 == 0 && s.out_channels % 16 == 0;
  // These are the tiles that the pass computes, or sums over in the backward of the filter. A single pixel wastes three
  // quarters of its tile. If there are few tiles, the transform of the filter costs more than the tiles save.
  const bool to_input = pass == ConvolutionPass::kBackwardInput;
  const std::int64_t height = to_input ? s.height : s.out_height, width = to_input ? s.width : s.out_width;
  const std::int64_t tiles = s.batch * ((height + 1) / 2) * ((width + 1) / 2);
  return whole_groups && height >= 2 && width >= 2 && tiles >= 32;
}

}  // namespace gradamp
