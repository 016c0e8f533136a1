// SPDX-License-Identifier: MIT
// Convolutions for the tests of Winograd's algorithm, and guarded memory that detects reads and writes out of bounds.
#pragma once

#include <cstdlib>
#include <span>
#include <vector>

#include "gradamp/kernels/cpu/winograd.h"
#include "gradamp/tests/core/test_support.h"

namespace gradamp::test {

/// A 3x3 convolution of stride 1.
struct WinogradCase {
  std::int64_t batch, height, width, in_channels, out_channels, padding;

  ConvolutionShape shape() const {
    return {batch, height, width, in_channels, height + 2 * padding - 2, width + 2 * padding - 2, out_channels,
            3,     3,      1,     padding};
  }
  Shape x() const { return {batch, height, width, in_channels}; }
  Shape weight() const { return {out_channels, 3, 3, in_channels}; }
  Shape y() const { return {batch, height + 2 * padding - 2, width + 2 * padding - 2, out_channels}; }

  friend void PrintTo(const WinogradCase& c, std::ostream* out) {
    *out << c.batch << "x" << c.height << "x" << c.width << " channels " << c.in_channels << " to " << c.out_channels
         << " padding " << c.padding;
  }
};

inline std::vector<WinogradCase> winograd_cases() {
  return {
      // Whole groups of channels: blocks of 16, 32 and 64 columns and their combinations. The image sizes are even,
      // odd,
      // one, and not square.
      {1, 1, 1, 16, 16, 1},
      {2, 2, 2, 16, 32, 1},
      {3, 5, 7, 16, 48, 1},
      {2, 6, 4, 64, 16, 1},
      {1, 9, 3, 32, 64, 1},
      {2, 4, 6, 80, 112, 1},
      {1, 3, 5, 128, 144, 1},
      // Every padding p. The convolution of the input's gradient has padding 2 - p.
      {2, 3, 3, 16, 16, 0},
      {2, 6, 9, 32, 16, 0},
      {1, 1, 1, 16, 16, 2},
      {2, 4, 5, 16, 32, 2},
      // Numbers of channels that do not fill their last group.
      {2, 5, 4, 17, 24, 1},
      {1, 6, 7, 40, 33, 1},
      {2, 4, 3, 3, 5, 1},
      {1, 5, 5, 1, 1, 2},
      {1, 4, 4, 31, 63, 0},
      // Sums that are longer than one sum in registers, filters that are divided by output groups, and wide filters.
      {1, 4, 4, 256, 272, 1},
      {2, 2, 3, 512, 512, 1},
      {1, 3, 2, 160, 136, 1},
      // Several blocks of tiles: narrow filters with fewer or more blocks than partial sums, and wide filters.
      {3, 16, 16, 16, 16, 1},
      {17, 15, 16, 16, 16, 1},
      {4, 16, 18, 96, 96, 1},
      {3, 14, 15, 144, 128, 1},
  };
}

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
struct WinogradResults {
  std::vector<float> y, grad_x, grad_weight;
};

/// The three passes of the kernels as compiled for one vector width.
struct WinogradKernels {
  decltype(&GRADAMP_SIMD::winograd_forward) forward;
  decltype(&GRADAMP_SIMD::winograd_backward_input) backward_input;
  decltype(&GRADAMP_SIMD::winograd_backward_filter) backward_filter;

  static WinogradKernels native() {
    return {GRADAMP_SIMD::winograd_forward, GRADAMP_SIMD::winograd_backward_input,
            GRADAMP_SIMD::winograd_backward_filter};
  }
};

struct WinogradInputs {
  std::vector<float> x, weight, bias, grad_y;

  explicit WinogradInputs(const WinogradCase& c)
      : x(normal_values(c.x().count(), 1)),
        weight(normal_values(c.weight().count(), 2)),
        bias(normal_values(c.out_channels, 3)),
        grad_y(normal_values(c.y().count(), 4)) {}
};

/// Runs all passes on guarded memory. Expects that the guards and the inputs are unchanged.
inline WinogradResults run_winograd(const WinogradCase& c, const WinogradInputs& inputs, int threads, bool bias = true,
                                    const WinogradKernels& kernels = WinogradKernels::native()) {
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

}  // namespace gradamp::test
