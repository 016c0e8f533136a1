// SPDX-License-Identifier: MIT
// Every dataset by its name: a row in one table (datasets.cpp), or registered by whoever builds on this.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "gradamp/data/dataset.h"
#include "gradamp/data/synthetic.h"

namespace gradamp {

/// Which dataset, and how it is read or drawn.
struct DatasetChoice {
  std::string name = "synthetic";  // one of dataset_names()
  std::filesystem::path path;      // where its files are: a folder or an archive
  std::uint64_t seed = 1;          // of a dataset that is drawn
  std::int64_t train_images = 0;   // how many to take from the split's beginning; 0: all
  std::int64_t test_images = 0;    // likewise
  bool allow_partial = false;      // take what is there of the training files
};

/// What there is to know of a dataset.
struct DatasetSource {
  std::string name;                                // letters, digits, '-', '_' and '.'
  std::int64_t train_images = 0, test_images = 0;  // of the whole dataset
  bool is_read = false;                            // from a path; otherwise it is drawn, and takes none
  /// Below the cache folder, where it is looked for if no path is given.
  std::vector<std::string> cache_folders;
  std::string how_to_get;  // where there is none: "`{program} data fetch --dataset cifar10` downloads it", where
                           // {program} stands for command_name()
  /// The split "train" or "test": `images` of its first images or more, 0 for all.
  std::function<Dataset(const DatasetChoice& choice, const std::string& split, std::int64_t images)> load;
};

/// Every dataset's name, in the order of the table, then those that were registered.
std::vector<std::string> dataset_names();

/// The name that the dataset `name` has now: "synthetic" for "made", its name in release 0.1, which users have typed
/// and runs have stored; any other name as it is.
std::string current_dataset_name(const std::string& name);

/// The dataset `name`, or the one that had this name earlier. Error that lists the names for one that is not among
/// them.
const DatasetSource& dataset_source(const std::string& name);
/// `source.how_to_get` with the program's name.
std::string how_to_get(const DatasetSource& source);

/// Adds a dataset of one's own: from then on load_dataset and the whole program know it by its name. Call it before
/// run_program and before other threads use the registry: after the last registration any thread may read it. Error
/// where the name is another one's or no such name, or `load` is missing.
void register_dataset(DatasetSource source);

/// Loads or draws the split "train" or "test". Throws Error for an unknown name, a dataset that is read without a path,
/// more images than there are, and for what the readers refuse.
Dataset load_dataset(const DatasetChoice& choice, const std::string& split);

}  // namespace gradamp
