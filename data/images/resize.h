// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <vector>

#include "gradamp/data/images/image_file.h"

namespace gradamp {

/// The whole image at another size, as values in [0, 1] (height, width, channels). Each axis is resized on its own. An
/// axis that shrinks is averaged by area: a pixel is the mean of the part of the image that it covers. An axis that
/// grows is interpolated linearly between the centers of pixels, and the outermost pixels continue to the edges. At the
/// same size the values are exact: byte / 255 in f32. Error unless height and width are at least 1.
std::vector<float> resize(const DecodedImage& image, std::int64_t height, std::int64_t width);

}  // namespace gradamp
