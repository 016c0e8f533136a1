// SPDX-License-Identifier: MIT
#include "gradamp/data/files/file_system.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>

namespace gradamp {
namespace {

class RealFileSystem final : public FileSystem {
 public:
  int open(const std::string& path, int flags) override { return ::open(path.c_str(), flags, 0666); }
  std::int64_t write(int descriptor, const std::byte* bytes, std::size_t size) override {
    return ::write(descriptor, bytes, size);
  }
  std::int64_t pread(int descriptor, std::byte* bytes, std::size_t size, std::int64_t offset) override {
    return ::pread(descriptor, bytes, size, offset);
  }
  std::int64_t size(int descriptor) override {
    struct stat status {};
    return ::fstat(descriptor, &status) == 0 ? std::int64_t{status.st_size} : -1;
  }
  int ftruncate(int descriptor, std::int64_t size) override { return ::ftruncate(descriptor, size); }
  int fsync(int descriptor) override { return ::fsync(descriptor); }
  int close(int descriptor) override { return ::close(descriptor); }
  int rename(const std::string& from, const std::string& to) override { return std::rename(from.c_str(), to.c_str()); }
  int link(const std::string& from, const std::string& to) override { return ::link(from.c_str(), to.c_str()); }
  int unlink(const std::string& path) override { return ::unlink(path.c_str()); }
};

}  // namespace

FileSystem& real_file_system() {
  static RealFileSystem file_system;
  return file_system;
}

}  // namespace gradamp
