// SPDX-License-Identifier: MIT
// VGG-19 for 32x32 images and larger ones: K. Simonyan, A. Zisserman, "Very deep convolutional networks for large-scale
// image recognition", ICLR 2015, configuration E, with batch norm and one linear layer.
#pragma once

#include <memory>

#include "gradamp/layers/layers.h"
#include "gradamp/nets/networks.h"

namespace gradamp {

/// Modules: features.0 ... features.52 (convolutions, batch norms, ReLUs and poolings all count), classifier.
class Vgg final : public Module {
 public:
  Vgg(Backend& backend, const NetworkOptions& options);
  Variable forward(const Variable& x, Mode mode) override;
  /// Each of the five poolings halves the image, rounded down: of 32x32 one pixel is left. If several are left, the
  /// classifier gets their mean.
  std::int64_t min_image_size() const override;

 private:
  std::shared_ptr<Sequential> features_;
  std::shared_ptr<Dropout> dropout_;
  std::shared_ptr<Linear> classifier_;
};

}  // namespace gradamp
