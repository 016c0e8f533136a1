// SPDX-License-Identifier: MIT
// Runs the convolutions of the CPU on guarded memory, which detects reads and writes out of bounds, and compares
// results with error bounds. Has the checks that hold for every method.
#pragma once

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <span>
#include <vector>

#include "gradamp/kernels/cpu/simd_kernels.h"
#include "gradamp/tests/core/test_support.h"
#include "gradamp/tests/kernels/reference.h"

// tests/CMakeLists.txt compiles the kernels again with vectors of 4, 8 and 16 floats. Declares those of a method.
#define GRADAMP_DECLARE_CONVOLUTIONS(simd, method)                                                               \
  namespace gradamp::simd {                                                                                      \
  std::int64_t method##_moment_rows(const ConvolutionShape&);                                                    \
  template <typename T>                                                                                          \
  void method##_forward(const ConvolutionShape&, const ConvolutionInput<T>&, const T*, const float*, T*, float*, \
                        const Workers&);                                                                         \
  template <typename T>                                                                                          \
  void method##_backward_input(const ConvolutionShape&, const T*, const T*, T*, const Workers&);                 \
  template <typename T>                                                                                          \
  void method##_backward_filter(const ConvolutionShape&, const ConvolutionInput<T>&, const T*, float*,           \
                                const Workers&);                                                                 \
  }

/// The ConvolutionKernels of a method for vectors of one width.
#define GRADAMP_CONVOLUTIONS(simd, method, T)                                                       \
  {                                                                                                 \
    simd::method##_forward<T>, simd::method##_backward_input<T>, simd::method##_backward_filter<T>, \
        simd::method##_moment_rows                                                                  \
  }
#define GRADAMP_METHOD_KERNELS(simd, method) \
  { GRADAMP_CONVOLUTIONS(simd, method, float), GRADAMP_CONVOLUTIONS(simd, method, Bf16) }

namespace gradamp::test {

/// A convolution; by default with a 3x3 filter and stride 1.
struct ConvolutionCase {
  std::int64_t batch, height, width, in_channels, out_channels, padding;
  std::int64_t kernel_h = 3, kernel_w = 3, stride = 1, dilation = 1, groups = 1;

  std::int64_t out_height() const { return (height + 2 * padding - (kernel_h - 1) * dilation - 1) / stride + 1; }
  std::int64_t out_width() const { return (width + 2 * padding - (kernel_w - 1) * dilation - 1) / stride + 1; }
  ConvolutionShape shape() const {
    return {batch,    height,   width,  in_channels, out_height(), out_width(), out_channels,
            kernel_h, kernel_w, stride, padding,     dilation,     groups};
  }
  Conv2dParams params() const {
    return {static_cast<int>(stride), static_cast<int>(padding), static_cast<int>(dilation), static_cast<int>(groups)};
  }
  Shape x() const { return {batch, height, width, in_channels}; }
  Shape weight() const { return {out_channels, kernel_h, kernel_w, in_channels / groups}; }
  Shape y() const { return {batch, out_height(), out_width(), out_channels}; }

  friend void PrintTo(const ConvolutionCase& c, std::ostream* out) {
    *out << c.batch << "x" << c.height << "x" << c.width << " channels " << c.in_channels << " to " << c.out_channels
         << " filter " << c.kernel_h << "x" << c.kernel_w << " stride " << c.stride << " padding " << c.padding
         << " dilation " << c.dilation << " groups " << c.groups;
  }
};

/// A vector of T, float or Bf16, between two guards of NaNs. A kernel that reads a guard computes NaNs; intact()
/// detects one that writes a guard. Its values are converted from and to float.
template <typename T>
class Guarded {
 public:
  explicit Guarded(std::int64_t count) : Guarded(std::vector<float>(static_cast<std::size_t>(count), NAN)) {}
  explicit Guarded(const std::vector<float>& values) {
    memory_.assign(values.size() + 2 * kGuard, T(NAN));
    std::transform(values.begin(), values.end(), memory_.begin() + kGuard, [](float value) { return T(value); });
  }
  T* data() { return memory_.data() + kGuard; }
  std::vector<float> values() const { return {memory_.begin() + kGuard, memory_.end() - kGuard}; }
  bool intact() const {
    const auto is_nan = [](float value) { return std::isnan(value); };
    return std::all_of(memory_.begin(), memory_.begin() + kGuard, is_nan) &&
           std::all_of(memory_.end() - kGuard, memory_.end(), is_nan);
  }

 private:
  static constexpr std::ptrdiff_t kGuard = 64;
  std::vector<T> memory_;
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

/// The results of all three passes, and the moments of y (empty if the kernels compute none).
struct ConvolutionResults {
  std::vector<float> y, moments, grad_x, grad_weight;
};

struct ConvolutionInputs {
  std::vector<float> x, weight, bias, grad_y;

  explicit ConvolutionInputs(const ConvolutionCase& c)
      : x(normal_values(c.x().count(), 1)),
        weight(normal_values(c.weight().count(), 2)),
        bias(normal_values(c.out_channels, 3)),
        grad_y(normal_values(c.y().count(), 4)) {}

  void round() {
    for (std::vector<float>* values : {&x, &weight, &grad_y}) round_to_bf16(*values);
  }
};

/// Runs all passes on guarded memory, with `affine` applied to x. Expects that the guards and the inputs are unchanged,
/// and that y does not depend on whether its moments are computed. If T is Bf16, x, the filter and grad_y must be
/// rounded already.
template <typename T>
ConvolutionResults run_convolution(const ConvolutionKernels<T>& kernels, const ConvolutionCase& c,
                                   const ConvolutionInputs& inputs, int threads, bool bias = true,
                                   const ChannelAffine& affine = {}) {
  bool scratch_intact = true;
  Guarded<T> x(inputs.x), weight(inputs.weight), grad_y(inputs.grad_y), y(c.y().count()), grad_x(c.x().count());
  Guarded<T> y_alone(c.y().count());
  Guarded<float> bias_values(inputs.bias), grad_weight(c.weight().count());
  const std::int64_t rows = kernels.moment_rows(c.shape()), pixels = c.y().count() / c.out_channels;
  Guarded<float> moments(rows > 0 ? (pixels + rows - 1) / rows * 2 * c.out_channels : 0);
  {
    CachingAllocator allocator(std::make_unique<GuardedSource>(&scratch_intact), false);
    const Workers workers{threads, allocator};
    const float* const b = bias ? bias_values.data() : nullptr;
    const ConvolutionInput<T> input{x.data(), affine};
    kernels.forward(c.shape(), input, weight.data(), b, y.data(), rows > 0 ? moments.data() : nullptr, workers);
    kernels.forward(c.shape(), input, weight.data(), b, y_alone.data(), nullptr, workers);
    kernels.backward_input(c.shape(), grad_y.data(), weight.data(), grad_x.data(), workers);
    kernels.backward_filter(c.shape(), input, grad_y.data(), grad_weight.data(), workers);
  }
  EXPECT_TRUE(scratch_intact) << "scratch memory was written beyond its end";
  EXPECT_TRUE(y.intact() && moments.intact() && grad_x.intact() && grad_weight.intact())
      << "a result was written beyond its end";
  const auto bits = [](const std::vector<float>& values) {  // in which a NaN equals itself
    std::vector<std::uint32_t> words(values.size());
    std::memcpy(words.data(), values.data(), values.size() * sizeof(float));
    return words;
  };
  EXPECT_EQ(bits(y_alone.values()), bits(y.values()));
  EXPECT_EQ(bits(x.values()), bits(inputs.x));
  EXPECT_EQ(weight.values(), inputs.weight);
  EXPECT_EQ(grad_y.values(), inputs.grad_y);
  return {y.values(), moments.values(), grad_x.values(), grad_weight.values()};
}

/// Expects the same bits of all three passes.
inline void expect_equal(const ConvolutionResults& actual, const ConvolutionResults& expected,
                         const std::string& note) {
  EXPECT_EQ(actual.y, expected.y) << note;
  EXPECT_EQ(actual.moments, expected.moments) << note;
  EXPECT_EQ(actual.grad_x, expected.grad_x) << note;
  EXPECT_EQ(actual.grad_weight, expected.grad_weight) << note;
}

/// The unit roundoff of f32.
inline const double kRoundoff = std::ldexp(1.0, -24);

/// A method as one compilation has it.
struct MethodKernels {
  ConvolutionKernels<float> f32;
  ConvolutionKernels<Bf16> bf16;
};

/// The two members of ActivationKernels that are methods.
enum class Method { kDirect, kWinograd };

/// A method's kernels for every instruction set that this machine has, the least set first.
inline std::vector<MethodKernels> usable_kernels(Method method) {
  std::vector<MethodKernels> all;
  for (const InstructionSet set : usable_instruction_sets()) {
    const SimdKernels& kernels = simd_kernels(set);
    all.push_back(method == Method::kDirect ? MethodKernels{kernels.f32.direct, kernels.bf16.direct}
                                            : MethodKernels{kernels.f32.winograd, kernels.bf16.winograd});
  }
  return all;
}

inline void expect_same_bits_on_any_number_of_threads(Method method, const ConvolutionCase& c) {
  const ConvolutionInputs inputs(c);
  const ConvolutionKernels<float> kernels = usable_kernels(method).back().f32;
  const ConvolutionResults one = run_convolution(kernels, c, inputs, 1);
  for (int threads = 2; threads <= 7; ++threads)
    expect_equal(run_convolution(kernels, c, inputs, threads), one, fmt::format("{} threads", threads));
}

/// `widths` are compiled for the least instruction set.
inline void expect_same_bits_with_vectors_of_any_width(Method method, const ConvolutionCase& c,
                                                       std::span<const MethodKernels> widths) {
  const ConvolutionInputs inputs(c);
  const ConvolutionResults least = run_convolution(usable_kernels(method).front().f32, c, inputs, 2);
  for (const MethodKernels& kernels : widths)
    expect_equal(run_convolution(kernels.f32, c, inputs, 2), least, "another width");
}

/// All instruction sets but the least one have fused multiply-adds.
inline void expect_same_bits_with_every_fused_instruction_set(Method method, const ConvolutionCase& c) {
  const ConvolutionInputs inputs(c);
  const std::vector<MethodKernels> all = usable_kernels(method);
  const ConvolutionResults best = run_convolution(all.back().f32, c, inputs, 2);
  for (std::size_t i = 1; i < all.size(); ++i)
    expect_equal(run_convolution(all[i].f32, c, inputs, 2), best, fmt::format("instruction set {}", i));
}

inline void expect_no_bias_is_a_bias_of_zeros(Method method, const ConvolutionCase& c) {
  const ConvolutionKernels<float> kernels = usable_kernels(method).back().f32;
  ConvolutionInputs inputs(c);
  const ConvolutionResults without = run_convolution(kernels, c, inputs, 1, false);
  std::fill(inputs.bias.begin(), inputs.bias.end(), 0.0f);
  EXPECT_EQ(run_convolution(kernels, c, inputs, 1).y, without.y);
}

/// Compares the mean and the sum of squared deviations of every channel, over all groups, with those of y. A group's
/// sums of n values v - s, where s is one of them, have errors of (n + 4) u times the sum of |v - s| or (v - s)^2,
/// which is at most n times the range of v or its square.
inline void expect_moments_are_those_of_y(Method method, const ConvolutionCase& c) {
  const ConvolutionInputs inputs(c);
  const std::int64_t channels = c.out_channels, pixels = c.y().count() / channels;
  for (const MethodKernels& kernels : usable_kernels(method)) {
    const std::int64_t rows = kernels.f32.moment_rows(c.shape());
    const ConvolutionResults results = run_convolution(kernels.f32, c, inputs, 2);
    ASSERT_EQ(results.moments.empty(), rows == 0);
    for (std::int64_t channel = 0; rows > 0 && channel < channels; ++channel) {
      SCOPED_TRACE(fmt::format("channel {}", channel));
      double sum = 0, squares = 0, largest = -INFINITY, smallest = INFINITY, group_sum = 0, group_squares = 0;
      for (std::int64_t pixel = 0; pixel < pixels; ++pixel) {
        const double value = results.y[static_cast<std::size_t>(pixel * channels + channel)];
        sum += value;
        largest = std::max(largest, value);
        smallest = std::min(smallest, value);
      }
      const double mean = sum / static_cast<double>(pixels);
      for (std::int64_t pixel = 0; pixel < pixels; ++pixel)
        squares += std::pow(results.y[static_cast<std::size_t>(pixel * channels + channel)] - mean, 2);
      for (std::int64_t first = 0, at = channel; first < pixels; first += rows, at += 2 * channels) {
        const double n = static_cast<double>(std::min(rows, pixels - first));
        const double group_mean = results.moments[static_cast<std::size_t>(at)];
        group_sum += n * group_mean;
        group_squares += results.moments[static_cast<std::size_t>(at + channels)] + n * std::pow(group_mean - mean, 2);
      }
      const double range = largest - smallest, count = static_cast<double>(pixels);
      const double bound = static_cast<double>(std::min(rows, pixels) + 4) * kRoundoff;
      EXPECT_NEAR(group_sum, sum, bound * count * (range + std::abs(mean)));
      EXPECT_NEAR(group_squares, squares, 2 * bound * count * range * (range + std::abs(mean)));
    }
  }
}

/// In bf16 every pass computes what it computes in f32. Only y and grad_x are rounded.
inline void expect_bf16_is_f32_rounded(Method method, const ConvolutionCase& c, std::span<const MethodKernels> widths) {
  ConvolutionInputs inputs(c);
  inputs.round();
  std::vector<MethodKernels> all = usable_kernels(method);
  all.insert(all.end(), widths.begin(), widths.end());
  for (const MethodKernels& kernels : all) {
    for (const bool bias : {true, false}) {
      ConvolutionResults expected = run_convolution(kernels.f32, c, inputs, 2, bias);
      round_to_bf16(expected.y);
      round_to_bf16(expected.grad_x);
      expect_equal(run_convolution(kernels.bf16, c, inputs, 3, bias), expected,
                   bias ? "with a bias" : "without a bias");
    }
  }
}

/// The cases whose input a batch norm can be applied to.
inline std::vector<ConvolutionCase> cases_of_normalized_inputs(std::vector<ConvolutionCase> all) {
  std::erase_if(all, [](const ConvolutionCase& c) { return c.in_channels % 16 != 0 || c.groups != 1; });
  return all;
}

/// Replaces NaNs, which have many bit patterns, by a number that no result is.
inline void make_nans_equal(ConvolutionResults& results) {
  for (std::vector<float>* values : {&results.y, &results.moments, &results.grad_x, &results.grad_weight})
    std::replace_if(
        values->begin(), values->end(), [](float value) { return std::isnan(value); }, 12345.678f);
}

/// A batch norm that is applied to x when it is read gives the same bits as one that was stored before.
template <typename T>
void expect_normalized_input_is_the_stored_one(const ConvolutionKernels<T>& kernels, const BatchNormKernels<T>& norm,
                                               const ConvolutionCase& c, ConvolutionInputs inputs) {
  inputs.x[inputs.x.size() / 2] = NAN;
  Guarded<float> mean(normal_values(c.in_channels, 5)), scale(normal_values(c.in_channels, 6)),
      beta(normal_values(c.in_channels, 7));
  for (const bool relu : {true, false}) {
    ConvolutionInputs stored = inputs;
    Guarded<T> x(inputs.x), y(c.x().count());
    norm.apply({c.in_channels, c.in_channels, c.x().count()}, {mean.data(), scale.data(), beta.data()}, relu, x.data(),
               nullptr, y.data());
    stored.x = y.values();
    ConvolutionResults expected = run_convolution(kernels, c, stored, 2);
    ConvolutionResults actual =
        run_convolution(kernels, c, inputs, 3, true, {mean.data(), scale.data(), beta.data(), relu});
    make_nans_equal(expected);
    make_nans_equal(actual);
    expect_equal(actual, expected, relu ? "with ReLU" : "without ReLU");
  }
}

inline void expect_normalized_inputs_are_the_stored_ones(Method method, const ConvolutionCase& c) {
  const std::vector<MethodKernels> all = usable_kernels(method);
  const std::vector<InstructionSet> sets = usable_instruction_sets();
  ConvolutionInputs rounded(c);
  rounded.round();
  for (std::size_t i = 0; i < sets.size(); ++i) {
    const SimdKernels& kernels = simd_kernels(sets[i]);
    expect_normalized_input_is_the_stored_one(all[i].f32, kernels.f32.batch_norm, c, ConvolutionInputs(c));
    expect_normalized_input_is_the_stored_one(all[i].bf16, kernels.bf16.batch_norm, c, rounded);
  }
}

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
