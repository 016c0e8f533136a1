// SPDX-License-Identifier: MIT
// The conformance table: every differentiable operation, on sizes that do not divide well. A new operation is tested
// by new rows; the loops over them are in conformance_test.cpp.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "gradamp/core/autograd.h"
#include "gradamp/tests/kernels/reference.h"

namespace gradamp::test {

/// The distribution of an input's values.
enum class Fill {
  kNormal,     // mean 0, std 1
  kSpaced,     // shuffled, all 0.05 apart, none within 0.02 of zero: no finite difference crosses a kink
  kNegative,   // kSpaced, all below -1
  kTies,       // -1, 0 or 1
  kLargeMean,  // mean 1000, deviation 1
  kHuge,       // mean 0, deviation 10000
  kBytes,      // whole numbers from 0 to 255
};

/// The role of an input: activations are bf16 if the backend's activations are.
enum class Role { kActivation, kParameter };

struct Input {
  Shape shape;
  Fill fill = Fill::kNormal;
  Role role = Role::kActivation;  // a parameter is always f32
};

struct OperationCase {
  std::string operation;  // its name in core/operations.h
  std::string name;
  std::vector<Input> inputs;
  std::function<Variable(const std::vector<Variable>& inputs)> compute;
  std::function<reference::Array(const reference::Arrays& inputs)> forward;
  /// Undefined: every element's gradient is a finite difference of `forward`.
  std::function<reference::Arrays(const reference::Arrays& inputs, const reference::Array& grad_y)> backward = {};
  bool has_backward = true;
  /// Whether finite differences of the forward give the gradient: false for scale_grad, if maxima are tied, and where
  /// they have too few digits.
  bool is_derivative = true;
  double tolerance = 1e-5;
  /// Whether a NaN as the first element of the first input is in the output: false for bytes, and for random crops.
  bool passes_nan = true;
  /// Whether the case has several operations, between which values are rounded to the backend's precision.
  bool is_chain = false;
  /// The step of the implementation's own finite differences, in f32; 0: none.
  double step = 0;
  /// The smallest distance of `inputs` from a kink, and its minimum; undefined if there is no kink.
  std::function<double(const reference::Arrays& inputs)> kink_distance = {};
  double kink_margin = 1e-5;
  /// Number of finite differences of `forward` that check `backward`, per input.
  std::int64_t samples = 60;
};

const std::vector<OperationCase>& operation_cases();

/// The values of each input, f32 as the backends get them; the same every time. `rounded`: to bf16, so that a backend
/// that computes with bf16 or tf32 and the reference get the same values.
std::vector<std::vector<float>> input_values(const OperationCase& operation_case, bool rounded = false);

}  // namespace gradamp::test
