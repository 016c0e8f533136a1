// SPDX-License-Identifier: MIT
// A folder that gets its name when its files are complete.
#pragma once

#include <filesystem>

namespace gradamp {

/// `<target>.partial`, in which the files of `target` are made. The destructor removes it. A leftover of a killed
/// program, which a hidden file in it marks, is removed first. A folder or file of that name without the mark belongs
/// to the user: it is an Error, and stays.
class PartialFolder {
 public:
  explicit PartialFolder(const std::filesystem::path& target);
  ~PartialFolder();
  PartialFolder(const PartialFolder&) = delete;
  PartialFolder& operator=(const PartialFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }
  /// Renames the folder itself, without its mark, to the target. Error with both names and the cause.
  void rename_to_target();

 private:
  std::filesystem::path target_, path_;
};

}  // namespace gradamp
