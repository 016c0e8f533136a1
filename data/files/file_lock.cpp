// SPDX-License-Identifier: MIT
#include "gradamp/data/files/file_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <ctime>
#include <span>
#include <thread>
#include <utility>

#include <fmt/chrono.h>

#include "gradamp/core/error.h"

namespace gradamp {
namespace {

constexpr std::chrono::milliseconds kPoll{100};
constexpr std::size_t kMaxLine = 200;  // of the text about the holder

std::string host_name() {
  std::array<char, 256> name{};
  return ::gethostname(name.data(), name.size() - 1) == 0 ? std::string(name.data()) : "an unknown host";
}

std::string this_process() {
  return fmt::format("process {} on {}, since {:%Y-%m-%d %H:%M:%S} UTC", ::getpid(), host_name(),
                     fmt::gmtime(std::time(nullptr)));
}

}  // namespace

bool means_no_locks(int error) { return error == ENOLCK || error == EOPNOTSUPP || error == ENOSYS || error == EINVAL; }

FileLock::FileLock(std::filesystem::path path, FileSystem& file_system)
    : path_(std::move(path)), file_(file_system, path_, O_RDWR | O_CREAT | O_APPEND | O_NONBLOCK) {
  check(file_.is_open(), "cannot open the lock {}: {}", path_.string(), last_cause());
}

LockState FileLock::try_acquire() {
  if (!file_.lock(LOCK_EX | LOCK_NB)) {
    if (errno == EWOULDBLOCK) return LockState::kOfOther;
    check(means_no_locks(errno), "cannot lock {}: {}", path_.string(), last_cause());
    return LockState::kNoLocks;
  }
  // The line is only for messages: a full disk must not prevent the lock.
  const std::string line = this_process() + "\n";
  if (file_.truncate(0)) static_cast<void>(file_.write(std::as_bytes(std::span(line))));
  return LockState::kHeld;
}

LockState FileLock::acquire(const std::function<void(const std::string& holder)>& on_wait,
                            const std::atomic<bool>* stop) {
  bool reported = false;
  for (;;) {
    const LockState state = try_acquire();
    if (state != LockState::kOfOther || (stop != nullptr && stop->load())) return state;
    if (!std::exchange(reported, true) && on_wait) on_wait(holder());
    std::this_thread::sleep_for(kPoll);
  }
}

std::string FileLock::holder() {
  std::string line(kMaxLine, '\0');
  const std::int64_t got = file_.read(std::as_writable_bytes(std::span(line)), 0);
  line.resize(static_cast<std::size_t>(std::max<std::int64_t>(got, 0)));
  line.resize(std::min(line.find('\n'), line.size()));
  const bool printable = std::all_of(line.begin(), line.end(), [](char c) { return c >= ' ' && c <= '~'; });
  return line.starts_with("process ") && printable ? line : "another process";
}

std::string FileLock::warning() const {
  return fmt::format("{}: this file system has no locks; make sure that no other process writes to this folder",
                     path_.parent_path().string());
}

bool is_locked(const std::filesystem::path& path, FileSystem& file_system) {
  OpenFile file(file_system, path, O_RDONLY | O_NONBLOCK);
  if (!file.is_open() && means_missing(errno)) return false;
  check(file.is_open(), "cannot read {}: {}", path.string(), last_cause());
  if (file.lock(LOCK_SH | LOCK_NB) || means_no_locks(errno)) return false;
  check(errno == EWOULDBLOCK, "cannot lock {}: {}", path.string(), last_cause());
  return true;
}

}  // namespace gradamp
