// SPDX-License-Identifier: MIT
// Readers of IDX files, the format of MNIST and Fashion-MNIST (Y. LeCun, C. Cortes, C. Burges, "The MNIST database of
// handwritten digits"): a magic number, one big-endian 32-bit extent per dimension, then the elements.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "gradamp/data/dataset.h"
#include "gradamp/data/files/file_system.h"

namespace gradamp {

/// Reads the split "train" or "test" of a dataset with MNIST's file names from `folder`: train-images-idx3-ubyte and
/// train-labels-idx1-ubyte, or t10k-images-idx3-ubyte and t10k-labels-idx1-ubyte. Returns grayscale u8 images (count,
/// height, width, 1). Error if a file is missing, compressed or of another type, if its length disagrees with its
/// header, if the numbers of images and labels differ, if a label is not below the number of `class_names`, or if
/// reading fails.
Dataset load_idx_dataset(const std::filesystem::path& folder, const std::string& split, const std::string& name,
                         const std::vector<std::string>& class_names, FileSystem& file_system = real_file_system());

}  // namespace gradamp
