// SPDX-License-Identifier: MIT
// Whether CIFAR's files are those that their author publishes, by the MD5 sums of the single files.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "gradamp/data/files/file_system.h"

namespace gradamp {

/// The MD5 sums of the author's files by their names in the layout, for "cifar10" or "cifar100". The files of
/// CIFAR-100's binary version and the text files with the names of the classes are missing: no list of them is known.
const std::map<std::string, std::string>& published_sums(const std::string& dataset);

/// A file that was compared with the author's.
struct ComparedFile {
  std::string path;       // for a file in an archive: that of the archive, then its name
  std::string sum;        // its MD5 sum
  std::string published;  // that of the author's file; empty if it is not known

  bool is_another() const { return !published.empty() && sum != published; }
};

/// One sentence for the user: "PATH: as published", or what is not.
std::string describe(const ComparedFile& file);

/// Compares every file at `path`, a folder or archive as for load_cifar10 and load_cifar100, in the order of
/// for_each_cifar_file. Error as there.
std::vector<ComparedFile> compare_with_published(const std::filesystem::path& path, const std::string& dataset,
                                                 const std::map<std::string, std::string>& published,
                                                 FileSystem& file_system = real_file_system());

}  // namespace gradamp
