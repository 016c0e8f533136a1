// SPDX-License-Identifier: MIT
// Every dataset of the program by its name.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "data/dataset.h"
#include "data/made.h"

namespace gradamp {

/// Which dataset, and how it is read or drawn.
struct DatasetChoice {
  std::string name = "made";      // one of dataset_names()
  std::filesystem::path path;     // of CIFAR: a folder or an archive, as load_cifar10 takes it
  std::uint64_t seed = 1;         // of the made dataset
  std::int64_t train_images = 0;  // how many to take from the split's beginning; 0: all, or the made dataset's default
  std::int64_t test_images = 0;   // likewise
  bool allow_partial = false;     // CIFAR: take what is there of the training files
};

/// "made", "cifar10", "cifar100", "cifar100-coarse".
const std::vector<std::string>& dataset_names();

/// Loads or draws the split "train" or "test". Throws Error for an unknown name, a CIFAR dataset without a path, more
/// images than there are, and for what the readers refuse.
Dataset load_dataset(const DatasetChoice& choice, const std::string& split);

}  // namespace gradamp
