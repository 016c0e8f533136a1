// SPDX-License-Identifier: MIT
// CIFAR-10 and CIFAR-100 from their author's files (A. Krizhevsky, "Learning Multiple Layers of Features from Tiny
// Images", 2009), in the binary or the Python version. Every deviation from the format is an Error: training on half a
// dataset is worse than not training.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "gradamp/data/dataset.h"
#include "gradamp/data/files/file_system.h"

namespace gradamp {

/// Number of records in each file.
struct CifarLayout {
  std::int64_t train_records = 0;  // in each of CIFAR-10's five training files, or in CIFAR-100's single one
  std::int64_t test_records = 0;
};
constexpr CifarLayout kCifar10Layout{10000, 10000};
constexpr CifarLayout kCifar100Layout{50000, 10000};

struct Cifar10Options {
  bool allow_partial = false;           // training files 2 to 5 may be missing, and every file may have fewer records
  CifarLayout layout = kCifar10Layout;  // another one for our own files in this format
};

struct Cifar100Options {
  bool coarse = false;         // the 20 superclasses as labels, otherwise the 100 classes
  bool allow_partial = false;  // both files may have fewer records, but only whole ones
  CifarLayout layout = kCifar100Layout;
};

/// Loads the split "train" or "test". `path` is one of: the folder with the files, of the binary or the Python version;
/// the folder that contains that folder (cifar-10-batches-bin or cifar-10-batches-py); a .tar.gz archive of either,
/// which is read without unpacking it. If a folder has both versions, the binary one is read. Throws Error with the
/// file, what was expected (bytes, records) and what was got, if a file is missing, too short, too long or has a label
/// out of range, and with the cause if reading fails.
Dataset load_cifar10(const std::filesystem::path& path, const std::string& split, const Cifar10Options& options = {},
                     FileSystem& file_system = real_file_system());

/// The same for CIFAR-100 (cifar-100-binary, cifar-100-python). Also refuses files in which two records of one class
/// have different superclasses.
Dataset load_cifar100(const std::filesystem::path& path, const std::string& split, const Cifar100Options& options = {},
                      FileSystem& file_system = real_file_system());

/// Calls `use` for each file at `path` that load_cifar10 (`dataset` "cifar10") or load_cifar100 ("cifar100") can read:
/// the training files, the test file, then the names of the classes. Its arguments are the file's name in the layout,
/// its path and its content. Error as for these, but missing files and the content are not judged.
using CifarFileUse =
    std::function<void(const std::string& name, const std::string& path, const std::vector<std::uint8_t>& content)>;
void for_each_cifar_file(const std::filesystem::path& path, const std::string& dataset, const CifarFileUse& use,
                         FileSystem& file_system = real_file_system());

/// Writes a dataset of ten classes as CIFAR-10's binary files into `folder`: the training images in five files of equal
/// length, the test images, and batches.meta.txt. The files are made in `<folder>.partial` and renamed when all are
/// written. load_cifar10 reads them back with the layout {train.count / 5, test.count}.
/// Error if the images are not 32x32x3 u8, the training images are no multiple of five, the folder exists and is not
/// empty, or writing fails.
void write_cifar10_layout(const std::filesystem::path& folder, const Dataset& train, const Dataset& test);

}  // namespace gradamp
