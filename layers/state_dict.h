// SPDX-License-Identifier: MIT
// A network's weights and running statistics under PyTorch's names and in PyTorch's layouts: filters are (K, C, R, S)
// in a state dict and (K, R, S, C) on the device.
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

/// What happens to the network's head, which is its last layer of type linear: the classifier.
enum class Head {
  kLoad,
  /// It keeps its values. The entries may have a head for another number of classes, or none.
  kKeep,
};

/// The names of the head's parameters, such as "linear.weight" and "linear.bias"; none if no layer is linear.
std::vector<std::string> head_names(Module& network);

/// Loads every parameter and running statistic from `entries`. Error that names the entry if one is missing, does not
/// belong to the network, or has another shape; the network is then unchanged. PyTorch's num_batches_tracked are
/// ignored. With Head::kKeep it is an Error if the network has no head.
void load_state_dict(Module& network, const std::vector<StateEntry>& entries, Head head = Head::kLoad);
/// Error if load_state_dict would refuse `entries`.
void check_state_dict(Module& network, const std::vector<StateEntry>& entries, Head head = Head::kLoad);

/// Converts between our layout and PyTorch's: filters, of rank 4, are reordered; other tensors stay as they are.
Shape pytorch_shape(const Shape& shape);
std::vector<float> to_pytorch_layout(const Shape& shape, const std::vector<float>& values);
std::vector<float> from_pytorch_layout(const Shape& shape, const std::vector<float>& values);

}  // namespace gradamp
