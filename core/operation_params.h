// SPDX-License-Identifier: MIT
// The parameters of the operations: plain numbers, for host and device code.
#pragma once

#include <array>
#include <cstdint>

namespace gradamp {

/// The most channels that an image can have.
inline constexpr int kMaxImageChannels = 4;
/// The most pixels of an image's height and width. An image then has at most 2^30 elements, which an int can count.
inline constexpr int kMaxImageExtent = 16384;

/// Stride and zero padding in pixels; all parameters are the same in both directions.
struct Conv2dParams {
  int stride = 1;
  int padding = 0;
  /// The distance of the pixels that neighboring taps of the filter read.
  int dilation = 1;
  /// The number of groups. A group is a range of input channels and a range of output channels; its outputs are
  /// computed from its inputs only. The filter is (K, R, S, C / groups). With groups = C the convolution is depthwise.
  int groups = 1;
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
  /// Applies ReLU to the result.
  bool relu = false;
};

/// What a pair of vectors, (2, C), is that shards of a batch have of a batch norm.
enum class BatchNormPair {
  kMoments,  // means, and sums of squared deviations from them
  kSums,     // of BatchNormBackward (core/backend.h)
};

struct GatherParams {
  bool augment = false;
  int padding = 4;   // of the random crop: zeros around the image, in pixels
  bool flip = true;  // horizontally, every other image on average
  /// Per channel, of a pixel's value: for u8 images the byte / 255, for f32 images the value itself.
  std::array<float, kMaxImageChannels> mean{};
  std::array<float, kMaxImageChannels> inverse_std{};  // 1 / standard deviation
  /// With or without `augment`: the side in pixels of a square that becomes 0 after the normalization, which is the
  /// mean; 0: none. See core/cutout.h.
  int cutout = 0;
};

struct CrossEntropyParams {
  /// The target of a row is 1 - label_smoothing + label_smoothing / K for the label's class and label_smoothing / K for
  /// the other classes, with K classes. 0: plain cross-entropy. C. Szegedy et al., "Rethinking the Inception
  /// architecture", 2016, section 7.
  double label_smoothing = 0;
  /// The number of images that the sum of the rows' losses is divided by; 0: the rows. For a shard it is the images of
  /// the whole batch, so that the losses and gradients of a batch's shards add up to those of the batch.
  std::int64_t divisor = 0;
};

struct DropoutParams {
  float probability = 0.5f;     // that an element becomes zero
  std::uint32_t substream = 0;  // each dropout of a network has its own
};

}  // namespace gradamp
