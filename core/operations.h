// SPDX-License-Identifier: MIT
// The differentiable operations: each checks its arguments, computes through the Backend and records its backward.
// A shape that does not fit is an Error such as "conv2d: expected input channels 64, got 32".
//
// A result has the type of x, f32 or bf16, unless noted. Parameters and their gradients are f32.
#pragma once

#include <vector>

#include "gradamp/core/autograd.h"
#include "gradamp/core/backend.h"

namespace gradamp {

/// x (N, H, W, C), weight (K, R, S, C), bias (K) or undefined; gives (N, P, Q, K) with
/// P = (H + 2 padding - R) / stride + 1, rounded down, and Q likewise.
Variable conv2d(const Variable& x, const Variable& weight, const Variable& bias, const Conv2dParams& params);

/// The state of a batch norm: gamma and beta are trained, training updates the running statistics. All (C), each with
/// memory of its own.
struct BatchNormState {
  Variable gamma, beta;
  Tensor running_mean, running_var;
};
/// [relu](batch norm of x [+ residual]); x (..., C), residual like x or undefined. `training` uses the batch's
/// statistics.
Variable batch_norm(const Variable& x, const BatchNormState& state, const BatchNormParams& params, bool training,
                    const Variable& residual = {});

Variable relu(const Variable& x);
/// a + b; both have the same shape.
Variable add(const Variable& a, const Variable& b);
/// The elementwise product a * b, both of one shape and type.
Variable mul(const Variable& a, const Variable& b);
/// 1 / (1 + e^-x), elementwise.
Variable sigmoid(const Variable& x);
/// x Phi(x), elementwise, with the normal distribution function Phi(x) = (1 + erf(x / sqrt(2))) / 2: PyTorch's default.
Variable gelu(const Variable& x);
/// Over the last dimension of x (..., C): e^x / (sum of e^x).
Variable softmax(const Variable& x);
/// One or more tensors side by side: (..., C1), (..., C2), ... of one type give (..., C1 + C2 + ...). These are the
/// channels of images (N, H, W, C) and the features of (N, C).
Variable concat(const std::vector<Variable>& inputs);
/// x itself; its gradient is multiplied by factors[index] on the way back ([GA], placement `backprop`).
Variable scale_grad(const Variable& x, const Tensor& factors, std::int64_t index);

/// x (N, H, W, C); the window must fit into the padded image, and padding must be at most half the window.
Variable max_pool2d(const Variable& x, const Pool2dParams& params);
Variable avg_pool2d(const Variable& x, const Pool2dParams& params);
/// (N, H, W, C) to (N, C).
Variable global_avg_pool(const Variable& x);
/// (N, H, W, C) to (N, ceil(H/2), ceil(W/2), channels): every second pixel, zero channels added on both sides.
Variable zero_pad_shortcut(const Variable& x, std::int64_t channels);
/// (N, ...) to (N, product of the rest).
Variable flatten(const Variable& x);

/// x in another type, f32 or bf16; x itself if it has that type.
Variable cast(const Variable& x, DType dtype);

/// x (N, C), weight (K, C), bias (K) or undefined; gives (N, K). In f32 whatever the type of x: a classifier is about a
/// thousandth of a network's arithmetic.
Variable linear(const Variable& x, const Variable& weight, const Variable& bias);
/// Zeros each element with params.probability and divides the others by 1 - probability. Each shard (core/shard.h) has
/// a mask of its own.
Variable dropout(const Variable& x, const DropoutParams& params, const StepState& state);
/// Mean loss over the batch, a scalar (with params.divisor: the sum divided by that); logits f32 (N, K), labels i32
/// (N). Adds to `state.metrics`. Error unless the label smoothing is in [0, 1) and the divisor at least 0.
Variable softmax_cross_entropy(const Variable& logits, const Tensor& labels, const StepState& state,
                               const CrossEntropyParams& params = {});

/// A batch and its labels.
struct Batch {
  Tensor images;  // (N, H, W, C) of the backend's activation type
  Tensor labels;  // i32 (N)
};
/// The `count` images at order[position ...]; images u8 or f32 (M, H, W, C), labels i32 (M), order i32. Error unless C
/// is 1 to kMaxImageChannels, H and W are at most kMaxImageExtent, and padding and cutout are at least 0.
Batch gather_batch(const Tensor& images, const Tensor& labels, const Tensor& order, std::int64_t count,
                   const StepState& state, const GatherParams& params);

}  // namespace gradamp
