// SPDX-License-Identifier: MIT
// MD5 sums of files: CIFAR's author publishes them to detect damaged archives. Not for security.
#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <string>

#include "gradamp/data/files/file_system.h"

namespace gradamp {

/// Computes the MD5 of bytes that arrive in pieces.
class Md5 {
 public:
  Md5();
  ~Md5();
  Md5(const Md5&) = delete;
  Md5& operator=(const Md5&) = delete;

  void add(const void* bytes, std::size_t count);

  /// The MD5 of all added bytes, as 32 lower-case hexadecimal digits. Call it once, last.
  std::string finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// The MD5 of a regular file's content, as 32 lower-case hexadecimal digits. Throws Error if it cannot be read.
std::string md5_of_file(const std::filesystem::path& path, FileSystem& file_system = real_file_system());

}  // namespace gradamp
