// SPDX-License-Identifier: MIT
// CUtensorMap and its two encoders, cuTensorMapEncodeTiled and cuTensorMapEncodeIm2col of CUDA's driver: for elements
// of two bytes, a swizzle of 128 bytes, no interleaving, and zeros outside the tensor.
#pragma once

#include <cstdint>
#include <string>

namespace gradamp::emulation {

enum class TensorMapMode : std::uint8_t { kNone, kTiled, kIm2col };

/// CUDA's is opaque. Dimension 0 is the innermost one.
struct TensorMap {
  static constexpr int kMaxRank = 5;
  static constexpr int kElementBytes = 2;

  TensorMapMode mode = TensorMapMode::kNone;
  int rank = 0;
  const void* base = nullptr;
  std::uint64_t dims[kMaxRank] = {};
  std::uint64_t strides[kMaxRank] = {};  // bytes; of dimension 0: kElementBytes
  std::uint32_t element_strides[kMaxRank] = {};
  // Tiled.
  std::uint32_t box[kMaxRank] = {};
  // Im2col: of the dimensions 1 to rank - 2, the innermost (W) first.
  int lower_corner[kMaxRank - 2] = {}, upper_corner[kMaxRank - 2] = {};
  std::uint32_t channels_per_pixel = 0, pixels_per_column = 0;

  /// Bytes of one load, including elements outside the tensor.
  std::uint32_t load_bytes() const;
  /// Bytes from the first to the last element of the tensor.
  std::uint64_t tensor_bytes() const;
};

/// `strides` has rank - 1 entries, for dimensions 1 and up. Error if the driver would return CUDA_ERROR_INVALID_VALUE.
TensorMap encode_tiled(int rank, const void* base, const std::uint64_t* dims, const std::uint64_t* strides,
                       const std::uint32_t* box, const std::uint32_t* element_strides);
TensorMap encode_im2col(int rank, const void* base, const std::uint64_t* dims, const std::uint64_t* strides,
                        const int* lower_corner, const int* upper_corner, std::uint32_t channels_per_pixel,
                        std::uint32_t pixels_per_column, const std::uint32_t* element_strides);

/// Describes why a load with an im2col map may not begin at these coordinates; "" if it may.
std::string first_pixel_problem(const TensorMap& map, const int* coordinates);

/// Copies the bytes of a load, in the order of the box's rows, not swizzled. `offsets` (im2col): rank - 2 of them.
void gather_box(const TensorMap& map, const int* coordinates, const std::uint16_t* offsets, char* bytes);

/// The swizzle of 128 bytes: the index of a 16-byte chunk in its row of 128 bytes is XORed with the row's index mod 8.
/// (CUTLASS: Swizzle<3, 4, 3>: bits 4 to 6 ^= bits 7 to 9.)
inline constexpr std::uint32_t kSwizzleBytes = 128;
inline std::uint32_t swizzled(std::uint32_t address) { return address ^ (((address >> 7) & 7) << 4); }

}  // namespace gradamp::emulation
