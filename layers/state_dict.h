// SPDX-License-Identifier: MIT
// A network's weights and running statistics under PyTorch's names and in PyTorch's layouts: filters are (K, C, R, S)
// here and (K, R, S, C) on the device.
#pragma once

#include <string>
#include <vector>

#include "gradamp/layers/module.h"

namespace gradamp {

struct StateEntry {
  std::string name;
  Shape shape;
  std::vector<float> values;  // row-major
};

/// Every parameter and running statistic, parameters first, in PyTorch's order.
std::vector<StateEntry> state_dict(Module& network);

/// Takes every parameter and running statistic from `entries`. Error that names the entry where one is missing, is not
/// the network's, or has another shape; the network is then unchanged. PyTorch's num_batches_tracked are ignored.
void load_state_dict(Module& network, const std::vector<StateEntry>& entries);
/// Error if load_state_dict would refuse `entries`.
void check_state_dict(Module& network, const std::vector<StateEntry>& entries);

/// A filter to and from PyTorch's layout: rank 4 is reordered, the rest stays as it is.
Shape pytorch_shape(const Shape& shape);
std::vector<float> to_pytorch_layout(const Shape& shape, const std::vector<float>& values);
std::vector<float> from_pytorch_layout(const Shape& shape, const std::vector<float>& values);

}  // namespace gradamp
