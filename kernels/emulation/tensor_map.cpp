// SPDX-License-Identifier: MIT
#include "gradamp/kernels/emulation/tensor_map.h"

#include <algorithm>
#include <cstring>

#include <fmt/format.h>

#include "gradamp/core/error.h"

namespace gradamp::emulation {
namespace {

constexpr const char* kEncodeTiled = "cuTensorMapEncodeTiled";
constexpr const char* kEncodeIm2col = "cuTensorMapEncodeIm2col";

void check_tensor(const char* what, const TensorMap& map) {
  check(reinterpret_cast<std::uintptr_t>(map.base) % 16 == 0, "{}: the address {} is not a multiple of 16", what,
        map.base);
  for (int i = 0; i < map.rank; ++i) {
    check(map.dims[i] >= 1 && map.dims[i] <= std::uint64_t{1} << 32, "{}: dimension {} has the extent {}", what, i,
          map.dims[i]);
    check(i == 0 || (map.strides[i] % 16 == 0 && map.strides[i] < std::uint64_t{1} << 40),
          "{}: dimension {} has a stride of {} bytes, expected a multiple of 16 below 2^40", what, i, map.strides[i]);
    check(map.element_strides[i] >= 1 && map.element_strides[i] <= 8,
          "{}: dimension {} has an element stride of {}, expected 1 to 8", what, i, map.element_strides[i]);
  }
}

// The driver also accepts narrower boxes. The layout of their rows in shared memory is not documented.
void check_inner(const char* what, std::uint32_t elements) {
  check(elements * TensorMap::kElementBytes == kSwizzleBytes,
        "{}: the box has {} bytes along dimension 0, expected the swizzle's {}", what,
        elements * TensorMap::kElementBytes, kSwizzleBytes);
}

TensorMap make_map(TensorMapMode mode, int rank, const void* base, const std::uint64_t* dims,
                   const std::uint64_t* strides, const std::uint32_t* element_strides) {
  TensorMap map;
  map.mode = mode;
  map.rank = rank;
  map.base = base;
  for (int i = 0; i < rank; ++i) {
    map.dims[i] = dims[i];
    map.strides[i] = i == 0 ? std::uint64_t{TensorMap::kElementBytes} : strides[i - 1];
    map.element_strides[i] = i == 0 ? 1 : element_strides[i];
  }
  return map;
}

// The last coordinate, exclusive, from which pixels may be read along spatial dimension i.
std::int64_t bounding_box_end(const TensorMap& map, int i) {
  return static_cast<std::int64_t>(map.dims[i + 1]) + map.upper_corner[i];
}

}  // namespace

TensorMap encode_tiled(int rank, const void* base, const std::uint64_t* dims, const std::uint64_t* strides,
                       const std::uint32_t* box, const std::uint32_t* element_strides) {
  check(rank >= 1 && rank <= TensorMap::kMaxRank, "{}: rank {}, expected 1 to 5", kEncodeTiled, rank);
  TensorMap map = make_map(TensorMapMode::kTiled, rank, base, dims, strides, element_strides);
  check_tensor(kEncodeTiled, map);
  for (int i = 0; i < rank; ++i) {
    check(box[i] >= 1 && box[i] <= 256, "{}: the box has {} elements along dimension {}, expected 1 to 256",
          kEncodeTiled, box[i], i);
    map.box[i] = box[i];
  }
  check_inner(kEncodeTiled, map.box[0]);
  return map;
}

TensorMap encode_im2col(int rank, const void* base, const std::uint64_t* dims, const std::uint64_t* strides,
                        const int* lower_corner, const int* upper_corner, std::uint32_t channels_per_pixel,
                        std::uint32_t pixels_per_column, const std::uint32_t* element_strides) {
  check(rank >= 3 && rank <= TensorMap::kMaxRank, "{}: rank {}, expected 3 to 5", kEncodeIm2col, rank);
  TensorMap map = make_map(TensorMapMode::kIm2col, rank, base, dims, strides, element_strides);
  check_tensor(kEncodeIm2col, map);
  const int limit = rank == 3 ? 32768 : rank == 4 ? 128 : 16;
  for (int i = 0; i < rank - 2; ++i) {
    for (const int corner : {lower_corner[i], upper_corner[i]})
      check(corner >= -limit && corner < limit, "{}: a corner's offset is {}, expected {} to {}", kEncodeIm2col, corner,
            -limit, limit - 1);
    map.lower_corner[i] = lower_corner[i];
    map.upper_corner[i] = upper_corner[i];
    check(bounding_box_end(map, i) > lower_corner[i], "{}: the bounding box is empty along dimension {}", kEncodeIm2col,
          i + 1);
  }
  check(pixels_per_column >= 1 && pixels_per_column <= 1024, "{}: {} pixels per column, expected 1 to 1024",
        kEncodeIm2col, pixels_per_column);
  map.channels_per_pixel = channels_per_pixel;
  map.pixels_per_column = pixels_per_column;
  check_inner(kEncodeIm2col, channels_per_pixel);
  return map;
}

std::uint32_t TensorMap::load_bytes() const {
  std::uint32_t elements = 1;
  if (mode == TensorMapMode::kIm2col) {
    elements = channels_per_pixel * pixels_per_column;
  } else {
    for (int i = 0; i < rank; ++i) elements *= (box[i] + element_strides[i] - 1) / element_strides[i];
  }
  return elements * kElementBytes;
}

std::uint64_t TensorMap::tensor_bytes() const {
  std::uint64_t bytes = kElementBytes;
  for (int i = 0; i < rank; ++i) bytes += (dims[i] - 1) * strides[i];
  return bytes;
}

namespace {

// Copies consecutive elements of dimension 0; zeros for those outside the tensor. index: of the first element.
void copy_row(const TensorMap& map, const std::int64_t* index, std::uint32_t elements, char* to) {
  constexpr std::size_t kSize = TensorMap::kElementBytes;
  std::memset(to, 0, elements * kSize);
  const char* from = static_cast<const char*>(map.base);
  for (int i = 1; i < map.rank; ++i) {
    if (index[i] < 0 || index[i] >= static_cast<std::int64_t>(map.dims[i])) return;
    from += index[i] * static_cast<std::int64_t>(map.strides[i]);
  }
  const std::int64_t begin = std::max<std::int64_t>(0, index[0]);
  const std::int64_t end = std::min(static_cast<std::int64_t>(map.dims[0]), index[0] + elements);
  if (begin >= end) return;
  std::memcpy(to + static_cast<std::size_t>(begin - index[0]) * kSize, from + begin * TensorMap::kElementBytes,
              static_cast<std::size_t>(end - begin) * kSize);
}

void gather_tiled(const TensorMap& map, const int* coordinates, char* bytes) {
  std::uint32_t offset[TensorMap::kMaxRank] = {};
  std::int64_t index[TensorMap::kMaxRank] = {coordinates[0]};
  while (true) {
    for (int i = 1; i < map.rank; ++i) index[i] = std::int64_t{coordinates[i]} + offset[i];
    copy_row(map, index, map.box[0], bytes);
    bytes += kSwizzleBytes;
    int i = 1;
    for (; i < map.rank; ++i) {
      offset[i] += map.element_strides[i];
      if (offset[i] < map.box[i]) break;
      offset[i] = 0;
    }
    if (i >= map.rank) return;
  }
}

// From the first pixel it walks along W, then H (then D) within the bounding box, then N. It reads each pixel at
// `offsets` from there.
void gather_im2col(const TensorMap& map, const int* coordinates, const std::uint16_t* offsets, char* bytes) {
  const int spatial = map.rank - 2;
  std::int64_t pixel[TensorMap::kMaxRank];  // dimensions 1 to rank - 1
  for (int i = 1; i < map.rank; ++i) pixel[i] = coordinates[i];
  for (std::uint32_t count = 0; count < map.pixels_per_column; ++count) {
    std::int64_t index[TensorMap::kMaxRank] = {coordinates[0]};
    for (int i = 1; i < map.rank; ++i) index[i] = pixel[i] + (i <= spatial ? offsets[i - 1] : 0);
    copy_row(map, index, map.channels_per_pixel, bytes);
    bytes += kSwizzleBytes;
    int i = 0;
    for (; i < spatial; ++i) {
      pixel[i + 1] += map.element_strides[i + 1];
      if (pixel[i + 1] < bounding_box_end(map, i)) break;
      pixel[i + 1] = map.lower_corner[i];
    }
    if (i == spatial) ++pixel[map.rank - 1];
  }
}

}  // namespace

std::string first_pixel_problem(const TensorMap& map, const int* coordinates) {
  for (int i = 0; i < map.rank - 2; ++i) {
    const std::int64_t end = bounding_box_end(map, i);
    if (coordinates[i + 1] < map.lower_corner[i] || coordinates[i + 1] >= end)
      return fmt::format(
          "the first pixel has the coordinate {} in dimension {}, outside the bounding box from {} to {}",
          coordinates[i + 1], i + 1, map.lower_corner[i], end - 1);
  }
  return "";
}

void gather_box(const TensorMap& map, const int* coordinates, const std::uint16_t* offsets, char* bytes) {
  if (map.mode == TensorMapMode::kTiled)
    gather_tiled(map, coordinates, bytes);
  else
    gather_im2col(map, coordinates, offsets, bytes);
}

}  // namespace gradamp::emulation
