// SPDX-License-Identifier: MIT
// Residual networks: K. He, X. Zhang, S. Ren, J. Sun, "Deep residual learning for image recognition", CVPR 2016.
#pragma once

#include <memory>
#include <vector>

#include "gradamp/layers/layers.h"
#include "gradamp/nets/networks.h"

namespace gradamp {

enum class BlockType {
  kBasic,       // 3x3, 3x3
  kBottleneck,  // 1x1, 3x3 (with the stride), 1x1 to four times the channels
};

enum class ShortcutType {
  kProjection,  // 1x1 convolution + batch norm if the shape changes (option B)
  kPadding,     // every second pixel and zero channels: no parameters (option A)
};

struct ResNetShape {
  BlockType block;
  ShortcutType shortcut;
  std::vector<std::int64_t> channels;  // per stage
  std::vector<int> blocks;             // per stage
};

/// Modules: conv1, bn1, layer1 ... layerN, linear.
class ResNet final : public Module {
 public:
  ResNet(Backend& backend, const ResNetShape& shape, const NetworkOptions& options);
  Variable forward(const Variable& x, Mode mode) override;
  /// Each stage but the first halves the image, rounded up. More than one pixel is left at the end, so that a batch
  /// norm has more than one value per channel.
  std::int64_t min_image_size() const override { return (std::int64_t{1} << (stages_.size() - 1)) + 1; }

 private:
  std::shared_ptr<Conv2d> conv1_;
  std::shared_ptr<BatchNorm> bn1_;
  std::shared_ptr<ReLU> relu_;
  std::vector<std::shared_ptr<Sequential>> stages_;
  std::shared_ptr<Dropout> dropout_;
  std::shared_ptr<Linear> linear_;
};

}  // namespace gradamp
