// SPDX-License-Identifier: MIT
// The synthetic dataset: 32x32 color images of ten figures, drawn by the program itself, so that everything can be
// tried without a download. A linear model cannot tell the classes apart, a small convolutional network learns them in
// minutes.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "gradamp/data/dataset.h"

namespace gradamp {

constexpr std::int64_t kSyntheticTrainImages = 10000;  // the default sizes
constexpr std::int64_t kSyntheticTestImages = 2000;

/// The ten classes: seven plain shapes (circle, square, triangle, cross, ring, star, crescent) and three textures
/// (stripes, checkerboard, dots) that fill a disc or a square.
const std::vector<std::string>& synthetic_class_names();

/// Draws `count` images of the split "train" or "test". Colors, place, size, stretch, rotation, distracting specks and
/// noise vary; none of them says anything about the class, and neither does a horizontal flip. Labels are balanced:
/// every ten images in a row hold each class once. Image i depends on (seed, split, i) alone; train and test share no
/// image; all arithmetic is on integers, so every machine draws the same bytes. Throws Error for another split or a
/// count outside 1 to 2^24.
Dataset make_synthetic_dataset(std::uint64_t seed, const std::string& split, std::int64_t count);

}  // namespace gradamp
