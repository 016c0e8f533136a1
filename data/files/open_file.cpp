// SPDX-License-Identifier: MIT
#include "gradamp/data/files/open_file.h"

#include <fcntl.h>

#include <chrono>
#include <system_error>
#include <thread>
#include <utility>

namespace gradamp {
namespace {

// The table of open files can be full for a moment, because of another thread or process.
constexpr int kAttempts = 3;
constexpr std::chrono::milliseconds kPause{50};

}  // namespace

std::string last_cause() { return std::generic_category().message(errno); }

OpenFile::OpenFile(FileSystem& file_system, const std::filesystem::path& path, int flags)
    : file_system_(&file_system), descriptor_(-1) {
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    descriptor_ = uninterrupted([&] { return file_system.open(path.string(), flags | O_CLOEXEC); });
    if (descriptor_ >= 0 || (errno != EMFILE && errno != ENFILE)) return;
    const int error = errno;
    std::this_thread::sleep_for(kPause);
    errno = error;
  }
}

OpenFile::~OpenFile() {
  if (is_open()) file_system_->close(descriptor_);
}

OpenFile::OpenFile(OpenFile&& other) noexcept
    : file_system_(other.file_system_), descriptor_(std::exchange(other.descriptor_, -1)) {}

bool OpenFile::write(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const std::int64_t written =
        uninterrupted([&] { return file_system_->write(descriptor_, bytes.data(), bytes.size()); });
    if (written == 0) errno = EIO;
    if (written <= 0) return false;
    bytes = bytes.subspan(static_cast<std::size_t>(written));
  }
  return true;
}

/// Calls read(the rest of `bytes`, the number of bytes read before it) until all are read or the file ends.
template <typename Read>
std::int64_t OpenFile::read_whole(std::span<std::byte> bytes, Read read) {
  std::int64_t total = 0;
  while (!bytes.empty()) {
    const std::int64_t got = uninterrupted([&] { return read(bytes, total); });
    if (got < 0) return -1;
    if (got == 0) break;
    total += got;
    bytes = bytes.subspan(static_cast<std::size_t>(got));
  }
  return total;
}

std::int64_t OpenFile::read(std::span<std::byte> bytes, std::int64_t offset) {
  return read_whole(bytes, [&](std::span<std::byte> rest, std::int64_t total) {
    return file_system_->pread(descriptor_, rest.data(), rest.size(), offset + total);
  });
}

std::int64_t OpenFile::read_next(std::span<std::byte> bytes) {
  return read_whole(bytes, [&](std::span<std::byte> rest, std::int64_t) {
    return file_system_->read(descriptor_, rest.data(), rest.size());
  });
}

std::optional<FileStatus> OpenFile::status() {
  FileStatus status;
  return file_system_->fstat(descriptor_, status) == 0 ? std::optional(status) : std::nullopt;
}

bool OpenFile::set_permissions(unsigned int permissions) {
  return uninterrupted([&] { return file_system_->fchmod(descriptor_, permissions); }) == 0;
}

bool OpenFile::truncate(std::int64_t size) {
  return uninterrupted([&] { return file_system_->ftruncate(descriptor_, size); }) == 0;
}

bool OpenFile::sync() {
  return uninterrupted([&] { return file_system_->fsync(descriptor_); }) == 0;
}

bool OpenFile::lock(int operation) {
  return uninterrupted([&] { return file_system_->flock(descriptor_, operation); }) == 0;
}

bool OpenFile::close() {
  // Linux has closed the descriptor even if it returns EINTR, and everything was synced before.
  const int descriptor = std::exchange(descriptor_, -1);
  return file_system_->close(descriptor) == 0 || errno == EINTR;
}

}  // namespace gradamp
