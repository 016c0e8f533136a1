// SPDX-License-Identifier: MIT
// MD5 sums of files: what CIFAR's author publishes to tell a whole archive from a damaged one. Not for security.
#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <string>

namespace gradamp {

/// MD5 of bytes that come piece by piece.
class Md5 {
 public:
  Md5();
  ~Md5();
  Md5(const Md5&) = delete;
  Md5& operator=(const Md5&) = delete;

  void add(const void* bytes, std::size_t count);

  /// The sum of everything added, as 32 lower-case hexadecimal digits. Call it once, last.
  std::string finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// The MD5 of a file's content, as 32 lower-case hexadecimal digits. Throws Error where it cannot be read.
std::string md5_of_file(const std::filesystem::path& path);

}  // namespace gradamp
