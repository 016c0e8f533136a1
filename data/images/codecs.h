// SPDX-License-Identifier: MIT
// The decoders behind read_image_file, one per format. Each throws Error with the reason, without the file's name.
#pragma once

#include <string>

#include "gradamp/data/images/image_file.h"

namespace gradamp {

DecodedImage decode_png(const std::string& bytes, int channels);
DecodedImage decode_jpeg(const std::string& bytes, int channels);

/// Error unless an image of this size is allowed.
void check_decoded_size(std::int64_t height, std::int64_t width);

}  // namespace gradamp
