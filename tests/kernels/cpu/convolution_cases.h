// SPDX-License-Identifier: MIT
// Runs a convolution kernel of the CPU on guarded memory, which detects reads and writes out of bounds, and compares
// results with error bounds.
#pragma once

#include <cmath>
#include <cstdlib>
#include <span>
#include <vector>

#include "gradamp/kernels/cpu/simd_kernels.h"
#include "gradamp/tests/core/test_support.h"
#include "gradamp/tests/kernels/reference.h"

// tests/CMakeLists.txt compiles the kernels again with vectors of 4, 8 and 16 floats.
#define GRADAMP_DECLARE_CONVOLUTIONS(simd, method)                                                                  \
  namespace gradamp::simd {                                                                                         \
  void method##_forward(const ConvolutionShape&, const float*, const float*, const float*, float*, const Workers&); \
  void method##_backward_input(const ConvolutionShape&, const float*, const float*, float*, const Workers&);        \
  void method##_backward_filter(const ConvolutionShape&, const float*, const float*, float*, const Workers&);       \
  }

namespace gradamp::test {

/// A convolution; by default with a 3x3 filter and stride 1.
struct ConvolutionCase {
  std::int64_t batch, height, width, in_channels, out_channels, padding;
  std::int64_t kernel_h = 3, kernel_w = 3, stride = 1;

  std::int64_t out_height() const { return (height + 2 * padding - kernel_h) / stride + 1; }
  std::int64_t out_width() const { return (width + 2 * padding - kernel_w) / stride + 1; }
  ConvolutionShape shape() const {
    return {batch,        height,   width,    in_channels, out_height(), out_width(),
            out_channels, kernel_h, kernel_w, stride,      padding};
  }
  Conv2dParams params() const { return {static_cast<int>(stride), static_cast<int>(padding)}; }
  Shape x() const { return {batch, height, width, in_channels}; }
  Shape weight() const { return {out_channels, kernel_h, kernel_w, in_channels}; }
  Shape y() const { return {batch, out_height(), out_width(), out_channels}; }

  friend void PrintTo(const ConvolutionCase& c, std::ostream* out) {
    *out << c.batch << "x" << c.height << "x" << c.width << " channels " << c.in_channels << " to " << c.out_channels
         << " filter " << c.kernel_h << "x" << c.kernel_w << " stride " << c.stride << " padding " << c.padding;
  }
};

/// A vector between two guards of NaNs. A kernel that reads a guard computes NaNs; intact() detects one that writes a
/// guard.
class GuardedFloats {
 public:
  explicit GuardedFloats(std::int64_t count)
      : GuardedFloats(std::vector<float>(static_cast<std::size_t>(count), NAN)) {}
  explicit GuardedFloats(const std::vector<float>& values) : count_(values.size()) {
    memory_.assign(count_ + 2 * kGuard, NAN);
    std::copy(values.begin(), values.end(), memory_.begin() + kGuard);
  }
  float* data() { return memory_.data() + kGuard; }
  std::vector<float> values() const { return {memory_.begin() + kGuard, memory_.end() - kGuard}; }
  bool intact() const {
    const auto is_nan = [](float value) { return std::isnan(value); };
    return std::all_of(memory_.begin(), memory_.begin() + kGuard, is_nan) &&
           std::all_of(memory_.end() - kGuard, memory_.end(), is_nan);
  }

 private:
  static constexpr std::ptrdiff_t kGuard = 64;
  std::size_t count_;
  std::vector<float> memory_;
};

/// Scratch memory for kernels. It is filled with NaNs, which stand for stale values, and lies between guards. release()
/// checks the guards.
class GuardedSource final : public MemorySource {
 public:
  explicit GuardedSource(bool* intact) : intact_(intact) {}
  void* allocate(std::size_t bytes) override {
    const std::size_t floats = bytes / sizeof(float);
    auto* const memory = static_cast<float*>(std::aligned_alloc(64, (bytes + 2 * kGuardBytes + 63) / 64 * 64));
    std::fill_n(memory, floats + 2 * kGuard, NAN);
    return memory + kGuard;
  }
  void release(void* memory, std::size_t bytes) noexcept override {
    float* const begin = static_cast<float*>(memory) - kGuard;
    const std::size_t floats = bytes / sizeof(float);
    for (std::size_t i = 0; i < kGuard; ++i)
      *intact_ = *intact_ && std::isnan(begin[i]) && std::isnan(begin[kGuard + floats + i]);
    std::free(begin);
  }

 private:
  static constexpr std::size_t kGuard = 64, kGuardBytes = kGuard * sizeof(float);
  bool* intact_;
};

/// The results of all three passes.
struct ConvolutionResults {
  std::vector<float> y, grad_x, grad_weight;
};

struct ConvolutionInputs {
  std::vector<float> x, weight, bias, grad_y;

  explicit ConvolutionInputs(const ConvolutionCase& c)
      : x(normal_values(c.x().count(), 1)),
        weight(normal_values(c.weight().count(), 2)),
        bias(normal_values(c.out_channels, 3)),
        grad_y(normal_values(c.y().count(), 4)) {}
};

/// Runs all passes on guarded memory. Expects that the guards and the inputs are unchanged.
inline ConvolutionResults run_convolution(const ConvolutionKernels& kernels, const ConvolutionCase& c,
                                          const ConvolutionInputs& inputs, int threads, bool bias = true) {
  bool scratch_intact = true;
  GuardedFloats x(inputs.x), weight(inputs.weight), bias_values(inputs.bias), grad_y(inputs.grad_y);
  GuardedFloats y(c.y().count()), grad_x(c.x().count()), grad_weight(c.weight().count());
  {
    CachingAllocator allocator(std::make_unique<GuardedSource>(&scratch_intact), false);
    const Workers workers{threads, allocator};
    kernels.forward(c.shape(), x.data(), weight.data(), bias ? bias_values.data() : nullptr, y.data(), workers);
    kernels.backward_input(c.shape(), grad_y.data(), weight.data(), grad_x.data(), workers);
    kernels.backward_filter(c.shape(), x.data(), grad_y.data(), grad_weight.data(), workers);
  }
  EXPECT_TRUE(scratch_intact) << "scratch memory was written beyond its end";
  EXPECT_TRUE(y.intact() && grad_x.intact() && grad_weight.intact()) << "a result was written beyond its end";
  EXPECT_EQ(x.values(), inputs.x);
  EXPECT_EQ(weight.values(), inputs.weight);
  EXPECT_EQ(grad_y.values(), inputs.grad_y);
  return {y.values(), grad_x.values(), grad_weight.values()};
}

/// Expects the same bits of all three passes.
inline void expect_equal(const ConvolutionResults& actual, const ConvolutionResults& expected,
                         const std::string& note) {
  EXPECT_EQ(actual.y, expected.y) << note;
  EXPECT_EQ(actual.grad_x, expected.grad_x) << note;
  EXPECT_EQ(actual.grad_weight, expected.grad_weight) << note;
}

/// The kernels of every instruction set that this machine has, the least one first.
inline std::vector<SimdKernels> usable_kernels() {
  std::vector<SimdKernels> all;
  for (const InstructionSet set : usable_instruction_sets()) all.push_back(simd_kernels(set));
  return all;
}

/// The unit roundoff of f32.
inline const double kRoundoff = std::ldexp(1.0, -24);

/// Number of additions in the longest chain of a sum of `terms` products: up to 128 in registers, then one per partial
/// sum.
inline double chain(std::int64_t terms) {
  return static_cast<double>(std::min<std::int64_t>(terms, 128) + (terms + 127) / 128);
}

/// Succeeds if the error of every element is within its bound. A NaN fails, because the comparison is negated.
inline ::testing::AssertionResult within(const std::vector<float>& actual, const reference::Array& expected,
                                         const reference::Array& bound) {
  for (std::size_t i = 0; i < actual.size(); ++i) {
    const double error = std::abs(static_cast<double>(actual[i]) - expected.values[i]);
    if (!(error <= bound.values[i]))
      return ::testing::AssertionFailure() << "element " << i << ": expected " << expected.values[i] << ", got "
                                           << actual[i] << ", off by more than the bound " << bound.values[i];
  }
  return ::testing::AssertionSuccess();
}

}  // namespace gradamp::test
