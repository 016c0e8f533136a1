// SPDX-License-Identifier: MIT
// Elementwise functions of one variable, written once for all backends: f and its derivative in f32. To add a function,
// add an enumerator, a struct and a case in with_function.
#pragma once

#include <cmath>

#include "gradamp/core/host_device.h"

namespace gradamp {

enum class UnaryFunction { kSigmoid, kGelu };

struct Sigmoid {
  /// 1 / (1 + e^-x). If e^-x overflows, the result is 0.
  static GRADAMP_HOST_DEVICE float value(float x) { return 1.0f / (1.0f + std::exp(-x)); }
  /// e^-|x| / (1 + e^-|x|)^2. It equals value (1 - value), but that form loses all digits if the value is near 1.
  static GRADAMP_HOST_DEVICE float derivative(float x) {
    const float power = std::exp(-std::fabs(x));
    return power / ((1.0f + power) * (1.0f + power));
  }
};

/// x Phi(x), with Phi the standard normal distribution function: D. Hendrycks, K. Gimpel, "Gaussian error linear
/// units", 2016. This is the exact form with the error function, not the tanh approximation.
struct Gelu {
  static GRADAMP_HOST_DEVICE float value(float x) { return x * distribution(x); }
  /// Phi(x) + x Phi'(x).
  static GRADAMP_HOST_DEVICE float derivative(float x) {
    return distribution(x) + x * (0.3989422804f * std::exp(-0.5f * x * x));  // 1 / sqrt(2 pi)
  }

 private:
  /// Phi(x) = erfc(-x / sqrt(2)) / 2. It equals (1 + erf(x / sqrt(2))) / 2, but that form loses all digits of a value
  /// near 0.
  static GRADAMP_HOST_DEVICE float distribution(float x) { return 0.5f * std::erfc(-0.7071067812f * x); }
};

/// Calls `body` with an object of the function's struct.
template <typename Body>
void with_function(UnaryFunction function, const Body& body) {
  switch (function) {
    case UnaryFunction::kSigmoid: return body(Sigmoid{});
    case UnaryFunction::kGelu: return body(Gelu{});
  }
}

}  // namespace gradamp
