// SPDX-License-Identifier: MIT
#if defined(GRADAMP_IMAGE_FILES)

#include <csetjmp>
#include <cstddef>
#include <cstdio>

#include <jpeglib.h>

#include "gradamp/core/error.h"
#include "gradamp/data/images/codecs.h"

namespace gradamp {
namespace {

/// libjpeg reports an error by a function that must not return, so it jumps back to the caller. The functions that call
/// libjpeg have no local objects with destructors between setjmp and the call.
struct JpegErrors {
  jpeg_error_mgr manager;  // must be the first member: libjpeg knows its address only
  std::jmp_buf jump;
  char message[JMSG_LENGTH_MAX];
};

void end_with_error(j_common_ptr info) {
  auto* errors = reinterpret_cast<JpegErrors*>(info->err);
  (*info->err->format_message)(info, errors->message);
  std::longjmp(errors->jump, 1);
}

/// Damaged data are a warning to libjpeg, which continues with gray pixels. They are errors here.
void report_message(j_common_ptr info, int level) {
  if (level < 0) end_with_error(info);
}

class JpegReader {
 public:
  explicit JpegReader(const std::string& bytes)
      : data_(reinterpret_cast<const unsigned char*>(bytes.data())), count_(bytes.size()) {}
  ~JpegReader() {
    if (is_made_) jpeg_destroy_decompress(&info_);
  }
  JpegReader(const JpegReader&) = delete;
  JpegReader& operator=(const JpegReader&) = delete;

  DecodedImage read(int channels) {
    check(read_header(), "{}", errors_.message);
    check_decoded_size(info_.image_height, info_.image_width);
    const bool known = info_.jpeg_color_space == JCS_GRAYSCALE || info_.jpeg_color_space == JCS_YCbCr ||
                       info_.jpeg_color_space == JCS_RGB;
    check(known, "expected gray or RGB, got another color space, such as CMYK");
    info_.out_color_space = channels == 3 ? JCS_RGB : JCS_GRAYSCALE;
    DecodedImage decoded{info_.image_height, info_.image_width, channels, {}};
    row_bytes_ = static_cast<std::size_t>(decoded.width) * static_cast<std::size_t>(channels);
    decoded.values.resize(row_bytes_ * static_cast<std::size_t>(decoded.height));
    check(read_rows(decoded.values.data()), "{}", errors_.message);
    return decoded;
  }

 private:
  bool read_header() {
    info_.err = jpeg_std_error(&errors_.manager);
    errors_.manager.error_exit = end_with_error;
    errors_.manager.emit_message = report_message;
    if (setjmp(errors_.jump) != 0) return false;
    jpeg_create_decompress(&info_);
    is_made_ = true;
    jpeg_mem_src(&info_, data_, static_cast<unsigned long>(count_));
    jpeg_read_header(&info_, TRUE);
    return true;
  }

  bool read_rows(unsigned char* values) {
    if (setjmp(errors_.jump) != 0) return false;
    jpeg_start_decompress(&info_);
    while (info_.output_scanline < info_.output_height) {
      JSAMPROW row = values + row_bytes_ * info_.output_scanline;
      jpeg_read_scanlines(&info_, &row, 1);
    }
    jpeg_finish_decompress(&info_);
    return true;
  }

  const unsigned char* data_;
  std::size_t count_, row_bytes_ = 0;
  bool is_made_ = false;
  jpeg_decompress_struct info_{};
  JpegErrors errors_{};
};

}  // namespace

DecodedImage decode_jpeg(const std::string& bytes, int channels) { return JpegReader(bytes).read(channels); }

}  // namespace gradamp

#endif
