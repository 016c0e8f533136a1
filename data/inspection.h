// SPDX-License-Identifier: MIT
// Signs that a dataset, whose files have the right format, has the wrong content.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "gradamp/data/dataset.h"

namespace gradamp {

/// One sentence per sign, for the user: black images (a zeroed part of a file), images that occur again and again,
/// files that are equal, and files of which more than half is one class. `per_file` is the number of images in each
/// file that the dataset was read from, in order. The dataset must have images of bytes.
std::vector<std::string> suspicious_content(const Dataset& dataset, std::int64_t per_file);

}  // namespace gradamp
