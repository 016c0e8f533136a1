// SPDX-License-Identifier: MIT
#include "gradamp/data/files/file_system.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>

namespace gradamp {
namespace {

constexpr unsigned int kPermissionBits = 07777;

FileKind kind_of(mode_t mode) {
  switch (mode & S_IFMT) {
    case S_IFDIR: return FileKind::kFolder;
    case S_IFLNK: return FileKind::kLink;
    case S_IFIFO: return FileKind::kPipe;
    case S_IFSOCK: return FileKind::kSocket;
    case S_IFCHR:
    case S_IFBLK: return FileKind::kDevice;
    default: return FileKind::kRegular;
  }
}

int convert(int result, const struct stat& from, FileStatus& to) {
  if (result == 0) to = {kind_of(from.st_mode), std::int64_t{from.st_size}, from.st_mode & kPermissionBits};
  return result;
}

class RealFileSystem final : public FileSystem {
 public:
  int open(const std::string& path, int flags) override { return ::open(path.c_str(), flags, 0666); }
  std::int64_t write(int descriptor, const std::byte* bytes, std::size_t size) override {
    return ::write(descriptor, bytes, size);
  }
  std::int64_t pread(int descriptor, std::byte* bytes, std::size_t size, std::int64_t offset) override {
    return ::pread(descriptor, bytes, size, offset);
  }
  std::int64_t read(int descriptor, std::byte* bytes, std::size_t size) override {
    return ::read(descriptor, bytes, size);
  }
  int fstat(int descriptor, FileStatus& status) override {
    struct stat found {};
    return convert(::fstat(descriptor, &found), found, status);
  }
  int lstat(const std::string& path, FileStatus& status) override {
    struct stat found {};
    return convert(::lstat(path.c_str(), &found), found, status);
  }
  int fchmod(int descriptor, unsigned int permissions) override { return ::fchmod(descriptor, permissions); }
  int ftruncate(int descriptor, std::int64_t size) override { return ::ftruncate(descriptor, size); }
  int fsync(int descriptor) override { return ::fsync(descriptor); }
  int flock(int descriptor, int operation) override { return ::flock(descriptor, operation); }
  int close(int descriptor) override { return ::close(descriptor); }
  int rename(const std::string& from, const std::string& to) override { return std::rename(from.c_str(), to.c_str()); }
  int link(const std::string& from, const std::string& to) override { return ::link(from.c_str(), to.c_str()); }
  int unlink(const std::string& path) override { return ::unlink(path.c_str()); }
  int list(const std::string& folder, std::vector<std::string>& names) override {
    names.clear();
    DIR* const stream = ::opendir(folder.c_str());
    if (stream == nullptr) return -1;
    errno = 0;
    while (const dirent* const entry = ::readdir(stream)) names.emplace_back(entry->d_name);
    const int error = errno;  // readdir also returns null at the end, and then leaves errno unchanged
    ::closedir(stream);
    errno = error;
    if (error != 0) return -1;
    std::erase_if(names, [](const std::string& name) { return name == "." || name == ".."; });
    std::sort(names.begin(), names.end());
    return 0;
  }
};

}  // namespace

const char* name_of(FileKind kind) {
  switch (kind) {
    case FileKind::kRegular: return "a regular file";
    case FileKind::kFolder: return "a folder";
    case FileKind::kLink: return "a symbolic link";
    case FileKind::kPipe: return "a named pipe";
    case FileKind::kSocket: return "a socket";
    case FileKind::kDevice: return "a device";
  }
  return "?";
}

FileSystem& real_file_system() {
  static RealFileSystem file_system;
  return file_system;
}

}  // namespace gradamp
