// SPDX-License-Identifier: MIT
// The sources of a plain CUDA program: the files that the user names, and those of their headers that are written
// "..." and found.
#pragma once

#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <vector>

namespace gradamp {

class ProgramSources {
 public:
  explicit ProgramSources(const std::vector<std::string>& include_folders) : include_folders_(include_folders) {}

  /// Reads the file and its headers. Error if a file cannot be read.
  void add(const std::filesystem::path& path);

  /// All files and headers.
  std::vector<std::filesystem::path> files() const;

  /// Writes all of them into the folder, as C++. Returns where each one is. Error with "FILE:LINE: ..." for a file that
  /// cannot be translated.
  std::map<std::filesystem::path, std::filesystem::path> translate_into(const std::filesystem::path& folder) const;

 private:
  std::filesystem::path find(const std::filesystem::path& folder, const std::string& include) const;

  std::vector<std::string> include_folders_;
  std::map<std::filesystem::path, std::string> texts_;
  std::map<std::filesystem::path, std::map<std::string, std::filesystem::path>> includes_;
  std::set<std::string> templates_;
};

}  // namespace gradamp
