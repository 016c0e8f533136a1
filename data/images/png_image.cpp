// SPDX-License-Identifier: MIT
#if defined(GRADAMP_IMAGE_FILES)

#include <png.h>

#include "gradamp/core/error.h"
#include "gradamp/data/images/codecs.h"

namespace gradamp {
namespace {

/// libpng's simplified reader. It keeps its state until it has read an image or failed, or png_image_free is called.
class PngReader {
 public:
  PngReader() { image_.version = PNG_IMAGE_VERSION; }
  ~PngReader() { png_image_free(&image_); }
  PngReader(const PngReader&) = delete;
  PngReader& operator=(const PngReader&) = delete;

  DecodedImage read(const std::string& bytes, int channels) {
    check(png_image_begin_read_from_memory(&image_, bytes.data(), bytes.size()) != 0, "{}", message());
    check_decoded_size(image_.height, image_.width);
    image_.format = channels == 3 ? PNG_FORMAT_RGB : PNG_FORMAT_GRAY;
    image_.flags |= PNG_IMAGE_FLAG_16BIT_sRGB;  // 16-bit values have the same curve as 8-bit values
    DecodedImage decoded{image_.height, image_.width, channels, {}};
    decoded.values.resize(PNG_IMAGE_SIZE(image_));
    const png_color white{255, 255, 255};
    check(png_image_finish_read(&image_, &white, decoded.values.data(), 0, nullptr) != 0, "{}", message());
    return decoded;
  }

 private:
  const char* message() const { return image_.message; }

  png_image image_{};
};

}  // namespace

DecodedImage decode_png(const std::string& bytes, int channels) { return PngReader().read(bytes, channels); }

}  // namespace gradamp

#endif
