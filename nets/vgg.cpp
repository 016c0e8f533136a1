// SPDX-License-Identifier: MIT
#include "gradamp/nets/vgg.h"

#include <algorithm>
#include <iterator>

namespace gradamp {
namespace {

constexpr std::int64_t kPool = 0;
constexpr std::int64_t kVgg19[] = {64,  64,  kPool, 128, 128,   kPool, 256, 256, 256, 256,  kPool,
                                   512, 512, 512,   512, kPool, 512,   512, 512, 512, kPool};

}  // namespace

Vgg::Vgg(Backend& backend, const NetworkOptions& options) {
  features_ = add_module("features", std::make_shared<Sequential>());
  std::int64_t channels = options.in_channels;
  for (const std::int64_t width : kVgg19) {
    if (width == kPool) {
      features_->append(std::make_shared<MaxPool2d>(Pool2dParams{2, 2, 0}));
      continue;
    }
    features_->append(std::make_shared<Conv2d>(backend, channels, width, 3, Conv2dParams{1, 1}, true));
    features_->append(std::make_shared<BatchNorm>(backend, width));
    features_->append(std::make_shared<ReLU>());
    channels = width;
  }
  dropout_ = add_module("dropout", std::make_shared<Dropout>(DropoutParams{options.dropout, 0}, options.state));
  classifier_ = add_module("classifier", std::make_shared<Linear>(backend, channels, options.classes));
}

std::int64_t Vgg::min_image_size() const {
  return std::int64_t{1} << std::count(std::begin(kVgg19), std::end(kVgg19), kPool);
}

Variable Vgg::forward(const Variable& x, Mode mode) {
  const Variable features = features_->forward(x, mode);
  const bool is_one_pixel = features.shape()[1] == 1 && features.shape()[2] == 1;
  const Variable flat = is_one_pixel ? flatten(features) : global_avg_pool(features);
  return classifier_->forward(dropout_->forward(flat, mode), mode);
}

}  // namespace gradamp
