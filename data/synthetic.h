// SPDX-License-Identifier: MIT
// The synthetic dataset: 32x32 color images of ten figures, which the program draws itself, so that users can try
// everything without a download. A linear model cannot separate the classes; a small convolutional network learns them
// in minutes.
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

/// Draws `count` images of the split "train" or "test". Colors, position, size, stretch, rotation, distracting specks
/// and noise vary independently of the class. A horizontal flip does not change the class. Labels are balanced: each
/// aligned group of ten images contains each class once. Image i depends only on (seed, split, i). Train and test share
/// no image. The arithmetic gives the same bytes on every machine. Throws Error for another split or a count outside 1
/// to 2^24.
Dataset make_synthetic_dataset(std::uint64_t seed, const std::string& split, std::int64_t count);

}  // namespace gradamp
