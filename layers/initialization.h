// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

#include "gradamp/layers/module.h"

namespace gradamp {

enum class Initialization {
  /// What PyTorch's Conv2d and Linear do by default: weights and biases uniform in ±1/sqrt(fan_in).
  kPyTorch,
  /// Weights normal with deviation sqrt(2 / fan_in), biases zero (K. He et al., "Delving deep into rectifiers", 2015).
  kHeNormal,
};

/// Draws the parameters of convolutions, linear layers and others with a `weight`, whose fan_in is the product of all
/// extents but the first, and a `bias` after it (Philox stream kInitialWeights; the substream is the parameter's place
/// in named_parameters()); batch norms start at gamma 1 and beta 0, running statistics at 0 and 1. Parameters for which
/// their module has initial_values() get those; Error for others.
void initialize(Module& network, Initialization initialization, std::uint64_t seed);

}  // namespace gradamp
