// SPDX-License-Identifier: MIT
// The parameters of the operations: plain numbers, for host and device code alike.
#pragma once

#include <array>
#include <cstdint>

namespace gradamp {

/// Stride and zero padding, in pixels, the same in both directions.
struct Conv2dParams {
  int stride = 1;
  int padding = 0;
};

/// A square window; `padding` counts as -infinity for the maximum and as zeros, which are counted, for the average.
struct Pool2dParams {
  int kernel = 2;
  int stride = 2;
  int padding = 0;
};

struct BatchNormParams {
  float epsilon = 1e-5f;
  /// Weight of the new batch in the running statistics.
  float momentum = 0.1f;
  /// Ends with max(0, ·).
  bool relu = false;
};

/// Places in StepState::counters.
enum StepCounter : int {
  kSeed,          // of every random number of the run
  kEpoch,         // counted from 1
  kStep,          // steps done since the run began
  kPosition,      // images of this epoch done
  kFirstBadStep,  // 1 + the first step whose loss or gradient was not finite; 0: none
  kStepCounterCount,
};

/// Places in StepState::metrics.
enum StepMetric : int {
  kLossSum,  // sum over the images of this epoch
  kCorrect,  // images whose largest logit was their label's
  kStepMetricCount,
};

struct GatherParams {
  bool augment = false;
  int padding = 4;                     // of the random crop: zeros around the image, in pixels
  bool flip = true;                    // horizontally, every other image on average
  std::array<float, 3> mean{};         // in [0, 1], as a pixel / 255
  std::array<float, 3> inverse_std{};  // 1 / deviation of the same
};

struct DropoutParams {
  float probability = 0.5f;     // of a zero
  std::uint32_t substream = 0;  // the layer's position in the network
};

/// One layer's place in the arena. Ranges begin at multiples of kArenaChunk elements; what lies between a layer's
/// tensors and up to the next chunk is zero and stays zero.
struct LayerRange {
  std::int64_t begin = 0;  // elements
  std::int64_t end = 0;    // padded to whole chunks
  std::int64_t count = 0;  // n, real elements
  // The neuron view: weight rows and, where there is one, a bias element each. Offsets count from the arena's start.
  std::int64_t weight_offset = 0;
  std::int64_t row_length = 0;    // elements of a weight row
  std::int64_t bias_offset = -1;  // -1: none
  std::int64_t neurons = 0;
  std::int64_t neuron_begin = 0;  // place in the neuron sums
};

inline constexpr std::int64_t kArenaChunk = 256;

enum class Granularity { kWeight, kNeuron };

struct SgdParams {
  float momentum = 0.9f;
  float weight_decay = 5e-4f;
  bool nesterov = false;
  /// Add this step's gradient to the sums.
  bool accumulate = false;
  Granularity granularity = Granularity::kWeight;
};

/// Places in the rows of a measures tensor, f64 (kMeasureCount, layers).
enum LayerMeasure : int { kG, kGPrime, kNormalizedG, kNormalizedGPrime, kMeasureCount };

enum class SelectionCase { kOneSided = 1, kTwoSided = 2 };

struct SelectionParams {
  LayerMeasure measure = kGPrime;  // kG or kGPrime
  SelectionCase selection_case = SelectionCase::kOneSided;
  double threshold = 1.0;
  float factor = 2.0f;
};

/// A random selection ([GA]): `count` layers of an epoch's draw (core/random_selection.h).
struct RandomSelectionParams {
  std::uint64_t seed = 0;
  int epoch = 0;
  int count = 0;
  float factor = 2.0f;
};

}  // namespace gradamp
