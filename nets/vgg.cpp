// SPDX-License-Identifier: MIT
#include "gradamp/nets/vgg.h"

namespace gradamp {
namespace {

constexpr std::int64_t kPool = 0;
constexpr std::int64_t kVgg19[] = {64,  64,  kPool, 128, 128,   kPool, 256, 256, 256, 256,  kPool,
                                   512, 512, 512,   512, kPool, 512,   512, 512, 512, kPool};

}  // namespace

Vgg::Vgg(Backend& backend, const NetworkOptions& options) {
  features_ = add_module("features", std::make_shared<Sequential>());
  std::int64_t channels = 3;
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

Variable Vgg::forward(const Variable& x, Mode mode) {
  return classifier_->forward(dropout_->forward(flatten(features_->forward(x, mode)), mode), mode);
}

}  // namespace gradamp
