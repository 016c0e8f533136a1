// SPDX-License-Identifier: MIT
#include "gradamp/nets/resnet.h"

namespace gradamp {
namespace {

/// conv1, bn1, ..., with a ReLU after each pair but the last. The last ReLU comes after the shortcut is added.
class ResidualBlock final : public Module {
 public:
  ResidualBlock(Backend& backend, const ResNetShape& shape, std::int64_t in_channels, std::int64_t channels, int stride)
      : out_channels_(shape.block == BlockType::kBasic ? channels : 4 * channels) {
    if (shape.block == BlockType::kBasic) {
      append(backend, in_channels, channels, 3, {stride, 1});
      append(backend, channels, channels, 3, {1, 1});
    } else {
      append(backend, in_channels, channels, 1, {1, 0});
      append(backend, channels, channels, 3, {stride, 1});
      append(backend, channels, out_channels_, 1, {1, 0});
    }
    const bool changes = stride != 1 || in_channels != out_channels_;
    pads_ = changes && shape.shortcut == ShortcutType::kPadding;
    if (changes && !pads_) {
      projection_ = add_module("shortcut", std::make_shared<Sequential>());
      projection_->append(std::make_shared<Conv2d>(backend, in_channels, out_channels_, 1, Conv2dParams{stride, 0}));
      projection_->append(std::make_shared<BatchNorm>(backend, out_channels_));
    }
  }

  std::int64_t out_channels() const { return out_channels_; }

  Variable forward(const Variable& x, Mode mode) override {
    Variable y = x;
    for (std::size_t i = 0; i + 1 < stages_.size(); ++i) y = stages_[i].forward(y, mode, {});
    const Variable residual = projection_ ? projection_->forward(x, mode)
                              : pads_     ? zero_pad_shortcut(x, out_channels_)
                                          : x;
    return stages_.back().forward(y, mode, residual);
  }

 private:
  struct Stage {
    std::shared_ptr<Conv2d> conv;
    std::shared_ptr<BatchNorm> norm;
    std::shared_ptr<ReLU> relu;

    Variable forward(const Variable& x, Mode mode, const Variable& residual) const {
      return norm->forward(conv->forward(x, mode), mode, relu.get(), residual);
    }
  };

  void append(Backend& backend, std::int64_t in, std::int64_t out, int kernel, Conv2dParams params) {
    const std::string number = std::to_string(stages_.size() + 1);
    stages_.push_back({add_module("conv" + number, std::make_shared<Conv2d>(backend, in, out, kernel, params)),
                       add_module("bn" + number, std::make_shared<BatchNorm>(backend, out)),
                       add_module("relu" + number, std::make_shared<ReLU>())});
  }

  std::vector<Stage> stages_;
  std::shared_ptr<Sequential> projection_;
  std::int64_t out_channels_;
  bool pads_ = false;
};

}  // namespace

ResNet::ResNet(Backend& backend, const ResNetShape& shape, const NetworkOptions& options) {
  std::int64_t channels = shape.channels.front();
  conv1_ = add_module("conv1", std::make_shared<Conv2d>(backend, options.in_channels, channels, 3, Conv2dParams{1, 1}));
  bn1_ = add_module("bn1", std::make_shared<BatchNorm>(backend, channels));
  relu_ = add_module("relu1", std::make_shared<ReLU>());
  for (std::size_t i = 0; i < shape.channels.size(); ++i) {
    auto stage = add_module("layer" + std::to_string(i + 1), std::make_shared<Sequential>());
    for (int j = 0; j < shape.blocks[i]; ++j) {
      const int stride = i > 0 && j == 0 ? 2 : 1;
      channels = stage->append(std::make_shared<ResidualBlock>(backend, shape, channels, shape.channels[i], stride))
                     ->out_channels();
    }
    stages_.push_back(std::move(stage));
  }
  dropout_ = add_module("dropout", std::make_shared<Dropout>(DropoutParams{options.dropout, 0}, options.state));
  linear_ = add_module("linear", std::make_shared<Linear>(backend, channels, options.classes));
}

Variable ResNet::forward(const Variable& input, Mode mode) {
  Variable x = bn1_->forward(conv1_->forward(input, mode), mode, relu_.get());
  for (const auto& stage : stages_) x = stage->forward(x, mode);
  return linear_->forward(dropout_->forward(global_avg_pool(x), mode), mode);
}

}  // namespace gradamp
