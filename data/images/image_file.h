// SPDX-License-Identifier: MIT
// Images from PNG and JPEG files, for the prediction of single images. Built on libpng and libjpeg.
#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

#include "gradamp/data/files/file_system.h"

namespace gradamp {

/// An image of 8-bit values, (height, width, channels) interleaved.
struct DecodedImage {
  std::int64_t height = 0, width = 0;  // pixels
  int channels = 0;                    // 3: red, green, blue; 1: gray
  std::vector<std::uint8_t> values;
};

/// The most bytes of an image file, and the most pixels of an image. Both are checked before anything is decoded.
inline constexpr std::int64_t kMaxImageFileBytes = std::int64_t{1} << 28;
inline constexpr std::int64_t kMaxDecodedPixels = 100'000'000;

/// Whether this build can read image files: libpng and libjpeg were there when it was built.
bool reads_image_files();

/// Reads a PNG or JPEG file; its first bytes decide which it is. Gray images become color images for `channels` 3, and
/// color images gray for 1. 16-bit values are reduced to 8 bits. Transparent pixels are blended with white. The
/// orientation in a JPEG's metadata is ignored. Error with the path and the reason if the file cannot be read, is
/// neither PNG nor JPEG, is damaged or cut off, has another color space, or exceeds a limit, and if this build cannot
/// read image files.
DecodedImage read_image_file(const std::filesystem::path& path, int channels,
                             FileSystem& file_system = real_file_system());

}  // namespace gradamp
