// SPDX-License-Identifier: MIT
// The layers that networks are made of. Weights start at zero: see layers/initialization.h.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "gradamp/core/operations.h"
#include "gradamp/layers/module.h"

namespace gradamp {

/// Height and width of a filter. A single number is both.
struct KernelSize {
  int height, width;

  KernelSize(int side) : height(side), width(side) {}
  KernelSize(int kernel_height, int kernel_width) : height(kernel_height), width(kernel_width) {}
};

/// x (N, H, W, in_channels) to (N, P, Q, out_channels). Error unless params.groups divides in_channels.
class Conv2d final : public Layer {
 public:
  Conv2d(Backend& backend, std::int64_t in_channels, std::int64_t out_channels, KernelSize kernel, Conv2dParams params,
         bool bias = false);
  LayerType type() const override { return LayerType::kConv; }
  Variable forward(const Variable& x, Mode mode) override;

 private:
  Conv2dParams params_;
  Variable weight_, bias_;
};

class ReLU final : public Layer {
 public:
  LayerType type() const override { return LayerType::kRelu; }
  Variable forward(const Variable& x, Mode mode) override;
};

/// Normalizes over the channels of the last dimension; buffers running_mean, running_var.
class BatchNorm final : public Layer {
 public:
  BatchNorm(Backend& backend, std::int64_t channels, BatchNormParams params = {});
  LayerType type() const override { return LayerType::kBatchNorm; }
  Variable forward(const Variable& x, Mode mode) override { return forward(x, mode, nullptr); }
  /// [relu](batch norm of x [+ residual]): one fused operation, unless a gradient of one of the layers is scaled.
  Variable forward(const Variable& x, Mode mode, ReLU* relu, const Variable& residual = {});

 private:
  BatchNormParams params_;
  BatchNormState state_;
};

/// x (N, in_features) to (N, out_features).
class Linear final : public Layer {
 public:
  Linear(Backend& backend, std::int64_t in_features, std::int64_t out_features, bool bias = true);
  LayerType type() const override { return LayerType::kLinear; }
  Variable forward(const Variable& x, Mode mode) override;

 private:
  Variable weight_, bias_;
};

class MaxPool2d final : public Module {
 public:
  explicit MaxPool2d(Pool2dParams params) : params_(params) {}
  Variable forward(const Variable& x, Mode) override { return max_pool2d(x, params_); }

 private:
  Pool2dParams params_;
};

class AvgPool2d final : public Module {
 public:
  explicit AvgPool2d(Pool2dParams params) : params_(params) {}
  Variable forward(const Variable& x, Mode) override { return avg_pool2d(x, params_); }

 private:
  Pool2dParams params_;
};

/// (N, ...) to (N, product of the other extents): before a linear layer.
class Flatten final : public Module {
 public:
  Variable forward(const Variable& x, Mode) override { return flatten(x); }
};

/// Zeros elements in training only. `state` is the run's; its counters key the random numbers. Each dropout of a
/// network needs its own substream.
class Dropout final : public Module {
 public:
  Dropout(DropoutParams params, StepState state) : params_(params), state_(std::move(state)) {}
  const DropoutParams& params() const { return params_; }
  Variable forward(const Variable& x, Mode mode) override {
    return mode == Mode::kTraining && params_.probability > 0 ? dropout(x, params_, state_) : x;
  }

 private:
  DropoutParams params_;
  StepState state_;
};

/// Modules one after another, named "0", "1", ... A batch norm followed by a ReLU is computed in one operation.
class Sequential final : public Module {
 public:
  template <typename M>
  std::shared_ptr<M> append(std::shared_ptr<M> module) {
    modules_.push_back(add_module(std::to_string(modules_.size()), module));
    return module;
  }
  bool is_empty() const { return modules_.empty(); }
  Variable forward(const Variable& x, Mode mode) override;

 private:
  std::vector<std::shared_ptr<Module>> modules_;
};

}  // namespace gradamp
