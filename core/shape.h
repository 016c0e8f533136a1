// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <string>

#include "gradamp/core/error.h"

namespace gradamp {

/// The extents of a tensor, up to four, outermost first; a scalar has none. Images are (N, H, W, C), filters
/// (K, R, S, C).
class Shape {
 public:
  static constexpr int kMaxRank = 4;
  static constexpr std::int64_t kMaxCount = std::int64_t{1} << 60;  // so that the size in bytes cannot overflow

  Shape() = default;
  Shape(std::initializer_list<std::int64_t> extents) {
    check(extents.size() <= kMaxRank, "a shape has at most {} extents, got {}", +kMaxRank, extents.size());
    for (std::int64_t extent : extents) push_back(extent);
  }

  void push_back(std::int64_t extent) {
    check(rank_ < kMaxRank, "a shape has at most {} extents", +kMaxRank);
    check(extent >= 0, "an extent is at least 0, got {}", extent);
    std::int64_t product = 0;
    check(!__builtin_mul_overflow(count(), extent, &product) && product <= kMaxCount,
          "a tensor has at most 2^60 elements, got an extent of {} after {} of them", extent, count());
    extents_[static_cast<std::size_t>(rank_++)] = extent;
  }
  int rank() const { return rank_; }
  /// The extent of dimension `i`, counted from 0.
  std::int64_t operator[](int i) const { return extents_[static_cast<std::size_t>(i)]; }
  /// The number of elements; 1 for a scalar.
  std::int64_t count() const {
    std::int64_t product = 1;
    for (int i = 0; i < rank_; ++i) product *= (*this)[i];
    return product;
  }
  friend bool operator==(const Shape& a, const Shape& b) = default;

  /// "[128, 32, 32, 3]"
  std::string to_string() const {
    std::string text = "[";
    for (int i = 0; i < rank_; ++i) text += (i == 0 ? "" : ", ") + std::to_string((*this)[i]);
    return text + "]";
  }

 private:
  std::array<std::int64_t, kMaxRank> extents_{};
  int rank_ = 0;
};

}  // namespace gradamp
