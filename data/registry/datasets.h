// SPDX-License-Identifier: MIT
// The registry of datasets by name. A dataset is a row of the table in datasets.cpp, or a user's program registers it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "gradamp/data/dataset.h"
#include "gradamp/data/synthetic.h"

namespace gradamp {

/// Selects a dataset and how it is read or drawn.
struct DatasetChoice {
  std::string name = "synthetic";  // one of dataset_names()
  std::filesystem::path path;      // the folder or archive that has its files
  std::uint64_t seed = 1;          // used only if the dataset is drawn
  std::int64_t train_images = 0;   // use only the first N training images; 0: all
  std::int64_t test_images = 0;    // use only the first N test images; 0: all
  bool allow_partial = false;      // accept a dataset that lacks some of its training files
};

/// The registry's entry of a dataset.
struct DatasetSource {
  std::string name;                                // letters, digits, '-', '_' and '.'
  std::int64_t train_images = 0, test_images = 0;  // sizes of the whole splits
  bool is_read = false;                            // true: read from a path; false: drawn, and takes no path
  /// Folders below the cache folder that are searched if no path is given.
  std::vector<std::string> cache_folders;
  std::string how_to_get;  // for the message if the data is missing: "`{program} data fetch --dataset cifar10`
                           // downloads it"; {program} stands for command_name()
  /// Loads the split "train" or "test": at least its first `images` images, or all if `images` is 0.
  std::function<Dataset(const DatasetChoice& choice, const std::string& split, std::int64_t images)> load;
};

/// The names of all datasets: those of the table in its order, then the registered ones.
std::vector<std::string> dataset_names();

/// The current name of the dataset `name`. For "made" this is "synthetic": release 0.1 used the name "made", which
/// users may still type and stored runs contain. Any other name is returned unchanged.
std::string current_dataset_name(const std::string& name);

/// The dataset with the current or former name `name`. If there is none, the Error lists the names.
const DatasetSource& dataset_source(const std::string& name);

/// Adds your own dataset. From then on, load_dataset and the whole program accept its name. Call this function before
/// run_program and before other threads use the registry. After the last registration, any thread may read the
/// registry. Error if the name is in use or has other characters than those allowed, or if `load` is missing.
void register_dataset(DatasetSource source);

/// Loads or draws the split "train" or "test". Throws Error if the name is unknown, if a dataset that is read from
/// files has no path, if more images are requested than exist, or if a reader rejects the files.
Dataset load_dataset(const DatasetChoice& choice, const std::string& split);

}  // namespace gradamp
