// SPDX-License-Identifier: MIT
#include "gradamp/data/images/image_file.h"

#include <string>
#include <string_view>

#include "gradamp/core/error.h"
#include "gradamp/data/files/durable_file.h"
#include "gradamp/data/images/codecs.h"

namespace gradamp {

void check_decoded_size(std::int64_t height, std::int64_t width) {
  check(height <= kMaxDecodedPixels / width, "expected at most {} pixels, got {}x{}", kMaxDecodedPixels, width, height);
}

#if defined(GRADAMP_IMAGE_FILES)

bool reads_image_files() { return true; }

DecodedImage read_image_file(const std::filesystem::path& path, int channels, FileSystem& file_system) {
  constexpr std::string_view kPng = "\x89PNG\r\n\x1a\n", kJpeg = "\xff\xd8\xff";
  check(channels == 1 || channels == 3, "expected 1 or 3 channels for an image file, got {}", channels);
  const std::string bytes = read_text(path, kMaxImageFileBytes, file_system);
  const bool is_png = bytes.starts_with(kPng);
  check(is_png || bytes.starts_with(kJpeg), "{}: expected a PNG or JPEG image, got {}", path.string(),
        bytes.empty() ? "an empty file" : "another kind of file");
  try {
    return is_png ? decode_png(bytes, channels) : decode_jpeg(bytes, channels);
  } catch (const Error& error) {
    fail("{}: cannot read this {} image: {}", path.string(), is_png ? "PNG" : "JPEG", error.what());
  }
}

#else

bool reads_image_files() { return false; }

DecodedImage read_image_file(const std::filesystem::path&, int, FileSystem&) {
  fail(
      "this gradamp was built without libpng and libjpeg and cannot read image files: install their development files "
      "(Debian, Ubuntu: libpng-dev and libjpeg-dev) and build it again");
}

#endif

}  // namespace gradamp
