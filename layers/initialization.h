// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

#include "gradamp/layers/module.h"

namespace gradamp {

enum class Initialization {
  /// PyTorch's default for Conv2d and Linear: weights and biases uniform in ±1/sqrt(fan_in).
  kPyTorch,
  /// Weights normal with std sqrt(2 / fan_in), biases zero (K. He et al., "Delving deep into rectifiers", 2015).
  kHeNormal,
};

/// Initializes every parameter. A parameter for which its module has initial_values() gets those. Batch norms get gamma
/// 1 and beta 0, running statistics 0 and 1. Convolutions, linear layers and other layers with a `weight`, and perhaps
/// a `bias` after it, are drawn: fan_in is the product of all extents of the weight but the first. Draws use the Philox
/// stream kInitialWeights; the substream is the parameter's index in named_parameters(). Error for other parameters.
void initialize(Module& network, Initialization initialization, std::uint64_t seed);

}  // namespace gradamp
