// SPDX-License-Identifier: MIT
// Divides numbers below 2^31 by a number that is known before the launch: a multiplication and a shift.
// T. Granlund, P. L. Montgomery, "Division by invariant integers using multiplication", PLDI 1994.
#pragma once

#include <cstdint>

#include "gradamp/kernels/cuda/cuda.h"

namespace gradamp::GRADAMP_GPU {

class Divisor {
 public:
  Divisor() = default;
  explicit Divisor(int divisor) : divisor_(divisor) {
    while ((std::int64_t{1} << shift_) < divisor) ++shift_;  // 2^shift is the smallest power of 2 >= divisor
    const std::uint64_t power = std::uint64_t{1} << (31 + shift_);
    multiplier_ = static_cast<std::uint32_t>((power + static_cast<std::uint64_t>(divisor) - 1) /
                                             static_cast<std::uint64_t>(divisor));
  }

  __host__ __device__ int value() const { return divisor_; }

  struct Result {
    int quotient, remainder;
  };
  /// value in [0, 2^31).
  __host__ __device__ __forceinline__ Result divide(int value) const {
    // The multiplier is at most 2^32 - 1. Its relative error is below 2^shift / 2^(31 + shift): enough for 31 bits.
    const std::uint64_t product = std::uint64_t{static_cast<std::uint32_t>(value)} * multiplier_;
    const int quotient = static_cast<int>(product >> (31 + shift_));
    return {quotient, value - quotient * divisor_};
  }

 private:
  int divisor_ = 1;
  int shift_ = 0;
  std::uint32_t multiplier_ = 0x80000000u;
};

}  // namespace gradamp::GRADAMP_GPU
