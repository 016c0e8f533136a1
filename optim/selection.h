// SPDX-License-Identifier: MIT
// The selection of the layers to amplify: by a measure of their gradients ([IGA] 3.3-3.6) or at random ([GA]).
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "gradamp/core/backend.h"
#include "gradamp/layers/module.h"

namespace gradamp {

enum class SelectionMethod {
  kNone,     // no layer: plain SGD with the strategy's learning rates
  kMeasure,  // at the end of an analyzed epoch, by the threshold
  kRandom,   // at the start of each amplifying phase, which is amplified from its first epoch on
};

struct SelectionOptions {
  SelectionMethod method = SelectionMethod::kMeasure;

  // kMeasure.
  LayerMeasure measure = kGPrime;  // kG or kGPrime
  SelectionCase selection_case = SelectionCase::kOneSided;
  double threshold = 1.0;  // of the normalized value; selected if strictly above

  // kRandom.
  double fraction = 0.5;  // of the layers of these types
  std::vector<LayerType> types{1, LayerType::kConv};
  std::uint64_t seed = 0;

  /// Error if an option that the method uses is out of range.
  void validate() const;
};

}  // namespace gradamp
