// SPDX-License-Identifier: MIT
// The parameters of the optimizer's operations: layers and their selection. Plain numbers, for host and device code.
// [IGA] arXiv:2305.18445, [GA] its random selection.
#pragma once

#include <cstdint>

namespace gradamp {

/// The range of one layer in the arena. Ranges begin at multiples of kArenaChunk elements. The padding between a
/// layer's tensors and behind them is zero and stays zero.
struct LayerRange {
  std::int64_t begin = 0;  // elements
  std::int64_t end = 0;    // padded to whole chunks
  std::int64_t count = 0;  // n, real elements
  // The neuron view: rows of the weight and, if there is a bias, one element of it per row. Offsets count from the
  // arena's start.
  std::int64_t weight_offset = 0;
  std::int64_t row_length = 0;    // elements of a weight row
  std::int64_t bias_offset = -1;  // -1: none
  std::int64_t neurons = 0;
  std::int64_t neuron_begin = 0;  // index in the neuron sums
};

inline constexpr std::int64_t kArenaChunk = 256;

/// Weight decay is the same for all weights of a group of this size: Arena::decay_scales has a value for each.
inline constexpr std::int64_t kDecayGroup = 16;

/// Added to the norm before a division by it, as PyTorch's clip_grad_norm_ does.
inline constexpr double kClipEpsilon = 1e-6;

enum class Granularity { kWeight, kNeuron };

struct SgdParams {
  float momentum = 0.9f;
  float weight_decay = 5e-4f;
  bool nesterov = false;
  /// Add this step's gradient to the sums.
  bool accumulate = false;
  Granularity granularity = Granularity::kWeight;
};

/// AdamW (I. Loshchilov, F. Hutter, "Decoupled weight decay regularization", 2019).
struct AdamWParams {
  double beta1 = 0.9, beta2 = 0.999;
  float epsilon = 1e-8f;
  float weight_decay = 5e-4f;
  /// Add this step's gradient to the sums.
  bool accumulate = false;
  Granularity granularity = Granularity::kWeight;
};

/// Row indices of a measures tensor, f64 (kMeasureCount, layers).
enum LayerMeasure : int { kG, kGPrime, kNormalizedG, kNormalizedGPrime, kMeasureCount };

enum class SelectionCase { kOneSided = 1, kTwoSided = 2 };

struct SelectionParams {
  LayerMeasure measure = kGPrime;  // kG or kGPrime
  SelectionCase selection_case = SelectionCase::kOneSided;
  double threshold = 1.0;
  float factor = 2.0f;
};

/// A random selection ([GA]): draws `count` layers for an epoch (core/random_selection.h).
struct RandomSelectionParams {
  std::uint64_t seed = 0;
  int epoch = 0;
  int count = 0;
  float factor = 2.0f;
};

}  // namespace gradamp
