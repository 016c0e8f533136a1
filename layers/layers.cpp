// SPDX-License-Identifier: MIT
#include "gradamp/layers/layers.h"

namespace gradamp {

namespace {

/// The channels that a filter reads.
std::int64_t filter_channels(std::int64_t in_channels, int groups) {
  check(groups >= 1 && in_channels % groups == 0, "Conv2d: expected groups that divide the {} input channels, got {}",
        in_channels, groups);
  return in_channels / groups;
}

}  // namespace

Conv2d::Conv2d(Backend& backend, std::int64_t in_channels, std::int64_t out_channels, KernelSize kernel,
               Conv2dParams params, bool bias)
    : params_(params),
      weight_(add_parameter("weight", backend,
                            {out_channels, kernel.height, kernel.width, filter_channels(in_channels, params.groups)})) {
  if (bias) bias_ = add_parameter("bias", backend, {out_channels});
}

Variable Conv2d::forward(const Variable& x, Mode) { return grad_scale().apply(conv2d(x, weight_, bias_, params_)); }

Variable ReLU::forward(const Variable& x, Mode) { return grad_scale().apply(relu(x)); }

BatchNorm::BatchNorm(Backend& backend, std::int64_t channels, BatchNormParams params) : params_(params) {
  state_.gamma = add_parameter("weight", backend, {channels});
  state_.beta = add_parameter("bias", backend, {channels});
  state_.running_mean = add_buffer("running_mean", Tensor::zeros(backend, {channels}));
  state_.running_var = add_buffer("running_var", Tensor::zeros(backend, {channels}));
  state_.running_var.copy_from_host(std::span<const float>(std::vector<float>(static_cast<std::size_t>(channels), 1)));
}

Variable BatchNorm::forward(const Variable& x, Mode mode, ReLU* relu, const Variable& residual) {
  const bool training = mode == Mode::kTraining;
  // In evaluation no gradient is scaled, so its numbers do not depend on the placement.
  const bool scaled = training && (grad_scale().factors.defined() || (relu && relu->grad_scale().factors.defined()));
  BatchNormParams params = params_;
  params.relu = relu != nullptr && !scaled;
  if (!scaled) {
    return batch_norm(x, state_, params, training, residual);
  }
  Variable y = grad_scale().apply(batch_norm(x, state_, params, training));
  if (residual.defined()) y = add(y, residual);
  return relu ? relu->forward(y, mode) : y;
}

Linear::Linear(Backend& backend, std::int64_t in_features, std::int64_t out_features, bool bias)
    : weight_(add_parameter("weight", backend, {out_features, in_features})) {
  if (bias) bias_ = add_parameter("bias", backend, {out_features});
}

Variable Linear::forward(const Variable& x, Mode) { return grad_scale().apply(linear(x, weight_, bias_)); }

Variable Sequential::forward(const Variable& input, Mode mode) {
  Variable x = input;
  for (std::size_t i = 0; i < modules_.size(); ++i) {
    auto* norm = dynamic_cast<BatchNorm*>(modules_[i].get());
    auto* relu = i + 1 < modules_.size() ? dynamic_cast<ReLU*>(modules_[i + 1].get()) : nullptr;
    if (norm && relu) {
      x = norm->forward(x, mode, relu);
      ++i;
    } else {
      x = modules_[i]->forward(x, mode);
    }
  }
  return x;
}

}  // namespace gradamp
